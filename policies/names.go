package policies

// Text says one thing in both languages that staff read.
type Text struct {
	JA string `json:"ja"`
	EN string `json:"en"`
}

// Name is what people call the kind of organization.
func (k OrgKind) Name() Text {
	switch k {
	case KindAgency:
		return Text{"運営機関", "operating agency"}
	case KindMinistry:
		return Text{"関連府省庁", "ministry"}
	case KindPrefecture:
		return Text{"都道府県", "prefecture"}
	case KindMunicipality:
		return Text{"市区町村", "municipality"}
	case KindWard:
		return Text{"行政区", "ward"}
	case KindIncorporated:
		return Text{"独立行政法人", "incorporated agency"}
	case KindUnion:
		return Text{"広域連合", "wide-area union"}
	case KindInsurer:
		return Text{"医療保険者", "insurer"}
	case KindContractor:
		return Text{"事業者", "contractor"}
	case KindMiddleware:
		return Text{"環境ミドル事業者", "middleware operator"}
	}
	return Text{string(k), string(k)}
}

// Name is what people call the role.
func (r Role) Name() Text {
	switch r {
	case RoleSystemAdministrator:
		return Text{"システム管理者", "system administrator"}
	case RoleAdministrator:
		return Text{"管理ユーザ", "administrator"}
	case RoleGeneral:
		return Text{"一般ユーザ", "general user"}
	}
	return Text{string(r), string(r)}
}

// Name is what people call the seat.
func (s Seat) Name() Text {
	switch s {
	case SeatLicensedMember:
		return Text{"ライセンス利用者", "licensed member"}
	case SeatPortalCustomer:
		return Text{"窓口利用者", "portal customer"}
	case SeatGuest:
		return Text{"ゲスト", "guest"}
	case SeatContact:
		return Text{"連絡先", "contact"}
	}
	return Text{"なし", "none"}
}

// Name says what the action does, as the end of a sentence.
func (a Action) Name() Text {
	switch a {
	case ActionOrgRead:
		return Text{"組織の情報を見る", "see an organization"}
	case ActionOrgWrite:
		return Text{"組織を登録・変更する", "register or change an organization"}
	case ActionOrgContact:
		return Text{"組織の連絡先を変更する", "change an organization's contacts"}
	case ActionServiceWrite:
		return Text{"組織を担当する事業者を登録・変更する", "register or change an organization's contractors"}
	case ActionContactRead:
		return Text{"職員の連絡先を検索する", "find contacts among an organization's people"}
	case ActionSelfWrite:
		return Text{"自分の連絡先を変更する", "change one's own contact data"}
	case ActionPeopleRead:
		return Text{"職員の情報を見る", "see an organization's people"}
	case ActionPeopleWrite:
		return Text{"職員を登録・変更・終了する", "register, change or end an organization's people"}
	case ActionAuditRead:
		return Text{"監査記録を見る", "see audit records"}
	case ActionPlanRead:
		return Text{"計画を見る", "see a plan"}
	case ActionPlanMake:
		return Text{"計画を作る", "make a plan"}
	case ActionPlanApprove:
		return Text{"計画を承認する", "approve a plan"}
	case ActionPlanApply:
		return Text{"承認された計画を適用する", "apply an approved plan"}
	case ActionJobsRead:
		return Text{"ハブの作業を見る", "see the hub's work"}
	case ActionJobsWrite:
		return Text{"ハブの作業をやり直す・取りやめる", "retry or give up the hub's work"}
	case ActionBreakerRelease:
		return Text{"作動したブレーカーが止めている変更を解除する", "release what a tripped breaker holds"}
	case ActionKeyRotate:
		return Text{"署名鍵を替える", "rotate a signing key"}
	case ActionPartyRead:
		return Text{"ログイン先の登録を見る", "see how relying parties are registered"}
	case ActionPartyWrite:
		return Text{"ログイン先を登録・変更・削除する", "register, change or remove relying parties"}
	}
	return Text{string(a), string(a)}
}
