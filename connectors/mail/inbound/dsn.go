package inbound

import (
	"strings"
)

// maxDeliveries bounds how many recipients of one report are kept.
const maxDeliveries = 200

// deliveryStatus reads the machine's part of a report (RFC 3464 section 2): groups of fields, the first about the mail, the others
// about one recipient each.
func (p *reader) deliveryStatus(body []byte) {
	for first := true; len(body) > 0; first = false {
		var h header
		h, body = p.header(body)
		if len(h) == 0 && !first {
			continue
		}
		if h.get("Final-Recipient") == "" && h.get("Original-Recipient") == "" {
			continue // the fields about the mail
		}
		if len(p.deliveries) >= maxDeliveries {
			p.problem("the report is about more than %d recipients", maxDeliveries)
			return
		}
		d := Delivery{
			Recipient: typed(h.get("Original-Recipient")), Action: action(h.get("Action")), Status: statusCode(h.get("Status")),
			Reason: oneLine(typed(h.get("Diagnostic-Code")), maxHeaderText),
		}
		if d.Recipient == "" {
			d.Recipient = typed(h.get("Final-Recipient"))
		}
		d.Recipient = oneLine(d.Recipient, 254)
		if d.Action == "" && strings.HasPrefix(d.Status, "5.") {
			d.Action = "failed"
		}
		if d.Action == "" && strings.HasPrefix(d.Status, "4.") {
			d.Action = "delayed"
		}
		p.deliveries = append(p.deliveries, d)
	}
}

// typed gives the value of "rfc822; hanako@city.example" and "smtp; 550 ...".
func typed(value string) string {
	if _, after, ok := strings.Cut(value, ";"); ok {
		return strings.TrimSpace(after)
	}
	return strings.TrimSpace(value)
}

// action gives one of the five actions of RFC 3464 section 2.3.3, or nothing.
func action(value string) string {
	word, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(value)), " ")
	switch word {
	case "failed", "delayed", "delivered", "relayed", "expanded":
		return word
	}
	return ""
}

// statusCode gives a code of RFC 3463, or nothing.
func statusCode(value string) string {
	code, _, _ := strings.Cut(strings.TrimSpace(value), " ")
	parts := strings.Split(code, ".")
	if len(parts) != 3 || (parts[0] != "2" && parts[0] != "4" && parts[0] != "5") {
		return ""
	}
	for _, part := range parts[1:] {
		if part == "" || len(part) > 3 || strings.Trim(part, "0123456789") != "" {
			return ""
		}
	}
	return code
}

// returnedMail keeps of a returned mail the fields that say which it was.
func (p *reader) returnedMail(body []byte) {
	h, _ := p.header(body)
	for _, name := range []string{"Message-ID", "In-Reply-To", "References"} {
		if v := h.get(name); v != "" && len(p.returned) < maxHeaderText {
			// Message-ID last: the nearest is read from the end.
			p.returned = clip(v, 4*maxHeaderText) + " " + p.returned
		}
	}
}
