package sp

// Text is something that people read, in Japanese and in English.
type Text struct{ JA, EN string }

var changeTexts = map[ChangeKind]Text{
	ChangeEntity:            {"相手の名称 (entityID) が変わります", "the provider calls itself by another entityID"},
	ChangeConsumerAdded:     {"ログインの結果を送る宛先が増えます", "answers may also go to a new address"},
	ChangeConsumerRemoved:   {"ログインの結果を送る宛先がなくなります", "answers go to this address no more"},
	ChangeConsumerMoved:     {"宛先の番号または既定が変わります", "an address gets another index, or isn't the default any more"},
	ChangeLogoutAdded:       {"ログアウトの宛先が増えます", "logouts also go to a new address"},
	ChangeLogoutRemoved:     {"ログアウトの宛先がなくなります", "logouts go to this address no more"},
	ChangeSigningAdded:      {"要求に署名する鍵が増えます", "requests may also be signed by a new key"},
	ChangeSigningRenewed:    {"同じ署名鍵の証明書が替わります", "a signing key that is known has another certificate"},
	ChangeSigningRemoved:    {"署名鍵がなくなります。この鍵による要求は断ります", "a signing key goes: its requests will be refused"},
	ChangeEncryptionAdded:   {"暗号化の鍵が増えます", "there is a new key to encrypt for"},
	ChangeEncryptionRenewed: {"同じ暗号化鍵の証明書が替わります", "an encryption key that is known has another certificate"},
	ChangeEncryptionRemoved: {"暗号化の鍵がなくなります", "an encryption key goes"},
	ChangeEncryptionFirst:   {"暗号化に使う鍵が替わります", "another key is used to encrypt"},
	ChangeEncryptionMethods: {"暗号化の方式が変わります", "other algorithms of encryption are listed"},
	ChangeEncrypt:           {"ログインの結果を暗号化するかどうかが変わります", "whether assertions are encrypted changes"},
	ChangeSigned:            {"要求に署名を求めるかどうかが変わります", "whether requests have to be signed changes"},
	ChangeNameID:            {"職員を伝える名前の形式 (NameID) が変わります。相手側のアカウントと結び付かなくなるおそれがあります", "people are named in another form (NameID): accounts on the other side may not match any more"},
	ChangeValidUntil:        {"メタデータの有効期限が変わります", "the metadata is valid until another time"},
}

// alarmTexts say why a difference is marked.
var alarmTexts = map[ChangeKind]Text{
	ChangeEntity:          {"別の相手にすり替わっていないか確かめてください", "make sure that this isn't somebody else"},
	ChangeConsumerAdded:   {"これまで使われていないホストです", "nothing of this provider was at this host before"},
	ChangeLogoutAdded:     {"これまで使われていないホストです", "nothing of this provider was at this host before"},
	ChangeSigningAdded:    {"署名者によって確かめられていません", "no pinned signer vouches for it"},
	ChangeEncryptionAdded: {"この鍵の持ち主だけがログインの結果を読めるようになります", "whoever has this key, and nobody else, will read the assertions"},
	ChangeEncrypt:         {"保護が弱くなります", "protection gets weaker"},
	ChangeSigned:          {"保護が弱くなります", "protection gets weaker"},
}

// Text says what the difference means.
func (c Change) Text() Text {
	if t, ok := changeTexts[c.Kind]; ok {
		return t
	}
	return Text{string(c.Kind), string(c.Kind)}
}

// Warning says why the difference is marked by Alarm; nothing where it isn't.
func (c Change) Warning() Text {
	if !c.Alarm {
		return Text{}
	}
	return alarmTexts[c.Kind]
}
