package policies

// acrs are the values of acr (OpenID Connect Core 1.0, 2) and of AuthnContextClassRef that stand for the levels. They are ours: no registered
// value says what AAL3 by a national card says.
var acrs = map[Assurance]string{
	AssuranceIdentifier: "urn:musubi:acr:identifier",
	AssuranceSingle:     "urn:musubi:acr:aal1",
	AssuranceTwo:        "urn:musubi:acr:aal2",
	AssuranceCard:       "urn:musubi:acr:aal3",
}

// ACR is the value that tells a relying party the level; empty for AssuranceNone and for what is no level.
func (a Assurance) ACR() string { return acrs[a] }

// AssuranceOf gives the level of an acr value; ok is false for a value that isn't ours.
func AssuranceOf(acr string) (a Assurance, ok bool) {
	for level, name := range acrs {
		if name == acr {
			return level, true
		}
	}
	return AssuranceNone, false
}

// Name is what people call the level.
func (a Assurance) Name() Text {
	switch a {
	case AssuranceNone:
		return Text{"未確認", "unknown person"}
	case AssuranceIdentifier:
		return Text{"カードの読み取りのみ", "card read only"}
	case AssuranceSingle:
		return Text{"単要素 (パスワードなど)", "one factor, such as a password"}
	case AssuranceTwo:
		return Text{"二要素", "two factors"}
	case AssuranceCard:
		return Text{"マイナンバーカードと暗証番号", "My Number Card with its PIN"}
	}
	return Text{"不明", "unknown level"}
}

// Name is what people call the network.
func (n Network) Name() Text {
	switch n {
	case NetworkInternet:
		return Text{"インターネット", "internet"}
	case NetworkLGWAN:
		return Text{"LGWAN", "LGWAN"}
	case NetworkGovernment:
		return Text{"政府共通ネットワーク", "government network"}
	}
	return Text{string(n), string(n)}
}
