package policies

// Name is what people call the function.
func (f Function) Name() Text {
	switch f {
	case FunctionQuestionnaire:
		return Text{"照会", "questionnaires"}
	case FunctionDocuments:
		return Text{"ドキュメント", "documents"}
	case FunctionSharing:
		return Text{"情報共有", "sharing"}
	case FunctionForms:
		return Text{"データ標準レイアウト", "data-standard forms"}
	case FunctionInquiries:
		return Text{"お問い合わせ", "inquiries"}
	case FunctionIncident:
		return Text{"異常時連絡等", "contact on incidents"}
	case FunctionFAQ:
		return Text{"FAQ", "FAQ"}
	case FunctionContacts:
		return Text{"連絡先検索", "search for contacts"}
	case FunctionReports:
		return Text{"レポート", "reports"}
	}
	return Text{string(f), string(f)}
}

// Name is what people call the use, as the end of a sentence.
func (u Use) Name() Text {
	switch u {
	case UseRead:
		return Text{"見る", "read"}
	case UsePost:
		return Text{"出す", "post"}
	case UseAnswer:
		return Text{"答える", "answer"}
	case UseNotify:
		return Text{"災害時連絡を出す", "send disaster notices"}
	}
	return Text{string(u), string(u)}
}

// Name is what people call the attribute.
func (a Attribute) Name() Text {
	switch a {
	case AttributeName:
		return Text{"氏名", "name"}
	case AttributeEmail:
		return Text{"メールアドレス", "e-mail address"}
	case AttributeOrganization:
		return Text{"所属組織", "organization"}
	case AttributeSection:
		return Text{"部署・役職", "section and title"}
	case AttributeRole:
		return Text{"ハブでの役割", "role in the hub"}
	case AttributePhone:
		return Text{"仕事用の電話", "work phone"}
	}
	return Text{string(a), string(a)}
}

// Name is what people call the product.
func (p Product) Name() Text {
	switch p {
	case ProductAtlassian:
		return Text{"Atlassian", "Atlassian"}
	case ProductJira:
		return Text{"Jira", "Jira"}
	case ProductSlack:
		return Text{"Slack", "Slack"}
	case ProductMail:
		return Text{"メール", "mail"}
	}
	return Text{string(p), string(p)}
}
