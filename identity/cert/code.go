package cert

// Code is the machine-readable result of a verdict. Codes are part of the contract of certd: they are added to, never renamed.
type Code string

// Codes. OK is the only one of a valid certificate.
const (
	OK Code = "ok"

	TooLarge           Code = "too-large"
	Malformed          Code = "certificate-malformed"
	BadKey             Code = "key-refused"
	NoPath             Code = "no-path"
	AnchorKeyDiffers   Code = "anchor-key-differs"
	WrongTree          Code = "wrong-tree"
	AnchorUnusable     Code = "anchor-unusable"
	WorkLimit          Code = "work-limit"
	BadSignature       Code = "signature-invalid"
	AlgorithmRefused   Code = "algorithm-refused"
	NotYetValid        Code = "not-yet-valid"
	Expired            Code = "expired"
	IssuerNotCA        Code = "issuer-not-ca"
	PathTooLong        Code = "path-too-long"
	KeyUsageWrong      Code = "key-usage"
	PurposeWrong       Code = "extended-key-usage"
	CriticalExtension  Code = "critical-extension"
	NameNotPermitted   Code = "name-constraint"
	PolicyWrong        Code = "policy"
	LeafIsCA           Code = "leaf-is-ca"
	LeafWrong          Code = "leaf-profile"
	HostWrong          Code = "host-name"
	Revoked            Code = "revoked"
	OnHold             Code = "on-hold"
	RevocationUnknown  Code = "revocation-unknown"
	RevocationStale    Code = "revocation-stale"
	RevocationBad      Code = "revocation-refused"
	ChallengeForged    Code = "challenge-signature"
	ChallengeUnknown   Code = "challenge-mismatch"
	ChallengeParty     Code = "challenge-relying-party"
	ChallengePurpose   Code = "challenge-purpose"
	ChallengeExpired   Code = "challenge-expired"
	ChallengeEarly     Code = "challenge-not-yet-valid"
	ChallengeRedeemed  Code = "challenge-redeemed"
	ChallengeMalformed Code = "challenge-malformed"
)

// sentences are what a person reads: Japanese, then English. What is special about one case stands in Evidence.Detail.
var sentences = map[Code][2]string{
	OK:                 {"証明書は有効です。", "The certificate is valid."},
	TooLarge:           {"証明書の数または大きさが上限を超えています。", "There are more certificates, or larger ones, than are read."},
	Malformed:          {"証明書の形式が正しくありません。", "The certificate is malformed."},
	BadKey:             {"証明書の公開鍵は使えません。", "The certificate's public key can't be accepted."},
	NoPath:             {"信頼する認証局に至る証明書の連鎖がありません。", "No chain of certificates leads to a trusted authority."},
	AnchorKeyDiffers:   {"信頼する認証局と名前は同じですが、鍵が違います (別の世代、または偽の認証局です)。", "The issuer has the name of a trusted authority and another key: another generation, or a forgery."},
	WrongTree:          {"別の用途の認証局が発行した証明書です。", "The certificate was issued by an authority for another use."},
	AnchorUnusable:     {"認証局の証明書がこの日時には使えません。", "The authority's own certificate can't be used at that time."},
	WorkLimit:          {"連鎖の候補が多すぎるため、検証を打ち切りました。", "There are too many possible chains; the search was ended."},
	BadSignature:       {"証明書の署名が正しくありません。", "A certificate's signature is wrong."},
	AlgorithmRefused:   {"認められていない署名方式または鍵です。", "A signature algorithm or key isn't accepted."},
	NotYetValid:        {"証明書の有効期間がまだ始まっていません。", "The certificate isn't valid yet."},
	Expired:            {"証明書の有効期間が過ぎています。", "The certificate has expired."},
	IssuerNotCA:        {"認証局でない者が発行した証明書です。", "The certificate was issued by one that is no authority."},
	PathTooLong:        {"証明書の連鎖が認められた長さを超えています。", "The chain of certificates is longer than is allowed."},
	KeyUsageWrong:      {"証明書の鍵の用途が合いません。", "The key of a certificate isn't meant for this use."},
	PurposeWrong:       {"証明書の拡張鍵用途が合いません。", "The certificate's extended key usage doesn't fit."},
	CriticalExtension:  {"理解できない重要な拡張を含む証明書です。", "A certificate has a critical extension that isn't understood."},
	NameNotPermitted:   {"認証局に許されていない名前の証明書です。", "The certificate has a name that its authority may not certify."},
	PolicyWrong:        {"証明書ポリシーが合いません。", "The certificate policy doesn't fit."},
	LeafIsCA:           {"利用者の証明書ではなく、認証局の証明書です。", "This is an authority's certificate, not a holder's."},
	LeafWrong:          {"この種類の証明書に定められた内容と違います。", "The certificate isn't what this kind of certificate must be."},
	HostWrong:          {"証明書のホスト名が違います。", "The certificate is for another host name."},
	Revoked:            {"証明書は失効しています。", "The certificate is revoked."},
	OnHold:             {"証明書は一時保留により失効しています。", "The certificate is on hold, which counts as revoked."},
	RevocationUnknown:  {"失効しているかどうかを確認できません。", "Whether the certificate is revoked isn't known."},
	RevocationStale:    {"失効情報が古すぎます。", "The revocation information is too old."},
	RevocationBad:      {"失効情報が信頼できません。", "The revocation information can't be trusted."},
	ChallengeForged:    {"チャレンジへの署名が正しくありません。", "The signature of the challenge is wrong."},
	ChallengeUnknown:   {"別のチャレンジへの応答です。", "The response is to another challenge."},
	ChallengeParty:     {"別の利用先のためのチャレンジです。", "The challenge is for another relying party."},
	ChallengePurpose:   {"別の目的のためのチャレンジです。", "The challenge is for another purpose."},
	ChallengeExpired:   {"チャレンジの期限が過ぎています。もう一度やり直してください。", "The challenge has expired; start again."},
	ChallengeEarly:     {"チャレンジの発行日時が未来です。", "The challenge was issued in the future."},
	ChallengeRedeemed:  {"チャレンジは使用済みです。もう一度やり直してください。", "The challenge was used before; start again."},
	ChallengeMalformed: {"チャレンジの記録が正しくありません。", "The record of the challenge is malformed."},
}

// Codes is every code with its sentences, for documents and for tests.
func Codes() map[Code][2]string {
	out := make(map[Code][2]string, len(sentences))
	for c, s := range sentences {
		out[c] = s
	}
	return out
}

// Japanese is the sentence for staff and holders.
func (c Code) Japanese() string { return sentences[c][0] }

// English is the same sentence in English.
func (c Code) English() string { return sentences[c][1] }

// fault is why a path, a list or a leaf isn't accepted: the code, and in English what exactly, without personal data.
type fault struct {
	code   Code
	detail string
}
