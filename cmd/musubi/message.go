package main

import (
	"errors"
	"strings"
	"syscall"
	"unicode"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/identity"
	"github.com/musubi-hub/musubi/identity/access"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/identity/directory/review"
	"github.com/musubi-hub/musubi/identity/sqldb"
	"github.com/musubi-hub/musubi/sync/provision"
)

// reasons are the Japanese words for the errors that a person can do something about; the first that fits counts, so the narrow
// ones come first.
var reasons = []struct {
	err error
	ja  string
}{
	{access.ErrCredentialUnknown, "この資格情報はハブに登録されていません"},
	{access.ErrCredentialExpired, "資格情報の有効期限が切れています"},
	{access.ErrCredentialRevoked, "この資格情報は失効しています"},
	{access.ErrPersonEnded, "在籍を終えた人の資格情報です"},
	{provision.ErrOwnPlan, "自分で作った計画は承認できません。別のシステム管理者に頼んでください"},
	{provision.ErrNotApproved, "計画は承認されていません"},
	{provision.ErrExpired, "承認の期限が切れています"},
	{provision.ErrBusy, "別の計画を実行中です"},
	{provision.ErrOtherPolicy, "計画を作った後に方針が変わりました。計画を作り直してください"},
	{provision.ErrStarted, "この計画は既に始まっています"},
	{provision.ErrNotRunning, "この計画は実行中ではありません"},
	{provision.ErrHash, "計画を一つに特定できません"},
	{directory.ErrLastAdministrator, "この異動で組織の管理者が足りなくなります。後任 (--successor) を決めるか、先に管理代行を任命してください"},
	{directory.ErrSettled, "この異動は既に発効したか、取り消されています"},
	{directory.ErrTransfer, "この異動は登録できません"},
	{directory.ErrAppointment, "この任命はできません"},
	{directory.ErrInService, "在職中の人は消去できません。先に在籍を終えてください"},
	{directory.ErrEnded, "既に在籍を終えています"},
	{directory.ErrImportBusy, "取り込みの間に名簿が変わり続けました。もう一度取り込んでください"},
	{directory.ErrImportDropped, "取り込みが長く止まったため取り消されました。もう一度取り込んでください"},
	{identity.ErrNewer, "データベースは新しい版のプログラムが書いたものです。新しい版を使ってください"},
	{identity.ErrLocked, "別のハブが動いています"},
	{sqldb.ErrUnreachable, "データベースに接続できません"},
	{syscall.EADDRINUSE, "ポートが使用中です"},
	{identity.ErrRefused, "権限がありません"},
	{identity.ErrNotFound, "見つかりません"},
	{identity.ErrExists, "既に登録されています"},
}

// message is what a person reads of an error: Japanese first, then the error's own words, unless those are Japanese already.
func message(err error) string {
	text := err.Error()
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.In(r, unicode.Hiragana) }) {
		return text
	}
	var finding review.Finding
	if errors.As(err, &finding) {
		return finding.Reason.JA + "。" + finding.Remedy.JA + "。 / " + text
	}
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.ja + "。 / " + text
		}
	}
	switch boot.ExitCode(err) {
	case boot.ExitUsage:
		return "指定に誤りがあります。 / " + text
	case boot.ExitRefused:
		return "受け付けられません。 / " + text
	case boot.ExitPartial:
		return "途中で終わりました。 / " + text
	case boot.ExitOutside:
		return "外部の障害です。 / " + text
	}
	return "予期しない障害です。 / " + text
}
