package mail

// EncodeHeader is encodeHeader.
var EncodeHeader = encodeHeader
