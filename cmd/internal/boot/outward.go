package boot

import "net/http"

// Outward is the way to relying parties, with the settings of their section in the configuration: for logout messages, and for metadata.
func (h *Hub) Outward() (http.RoundTripper, error) { return h.backchannel() }
