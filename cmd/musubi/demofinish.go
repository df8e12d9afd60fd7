package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/musubi-hub/musubi/cmd/internal/boot"
	"github.com/musubi-hub/musubi/cmd/internal/testcard"
	"github.com/musubi-hub/musubi/identity/directory"
	"github.com/musubi-hub/musubi/policies"
)

// finish compares the SaaS with the plan, shows the result, and serves: until Ctrl-C, or for the time given.
func (d *demo) finish(ctx context.Context, pages *front) error {
	verdict := d.compare(ctx)
	d.out.Seconds = d.env.now().Sub(d.began).Seconds()
	trying, cancel := context.WithCancel(ctx)
	defer func() { cancel(); d.trials.Wait() }()
	d.hub.Follow(ctx)
	if err := d.register(ctx, d.login); err != nil {
		return err
	}
	d.tryable(trying)
	if err := d.linkCards(ctx, d.login); err != nil { // last, and said afterwards: whoever logs in finds everything there
		return err
	}
	for _, p := range policies.Products() {
		s := d.out.SaaS[string(p)]
		say(d.env.stderr, "%-10s 計画 / wanted %s   確認 / applied %s   実際 / ground truth %s   重複 / duplicates %d",
			p, group(s.Wanted), group(s.Applied), group(s.GroundTruth), s.Duplicates)
	}
	say(d.env.stderr, "組織 / organizations %s, 職員 / people %s, %.1f 秒 / seconds", group(d.out.Organizations), group(d.out.People), d.out.Seconds)
	if d.headless {
		if err := wait(ctx, pages, d.hold); err != nil {
			return err
		}
		return verdict
	}
	if verdict != nil {
		say(d.env.stderr, "musubi: %v", verdict)
	}
	if err := d.secondPosts(ctx); err != nil {
		return err
	}
	d.welcome()
	d.hints(ctx)
	select {
	case <-ctx.Done():
		say(d.env.stderr, "\n止めています… / stopping")
		return verdict
	case err := <-pages.failed:
		return boot.Outside(err)
	case err := <-d.login.entry.broken():
		return boot.Outside(err)
	}
}

// welcome tells where a person logs in, and with what.
func (d *demo) welcome() {
	f := d.login.set.Files
	say(d.env.stdout, `
ログイン / log in (ブラウザで開く / in a browser):
  %-32s 管理画面 / the hub's own pages
  %-32s 問い合わせの窓口 (代役、SAML) / the help desk's portal, by SAML as the product
  %-32s 府省職員の Jira (代役、SAML) / Jira for ministry staff, by SAML as the product
  %-32s チャット (代役、SAML) / the chat, by SAML as the product
  %-32s 資料室 (見本、SAML とシングルログアウト) / a sample site by SAML with single logout
  %-32s よくある質問 (見本、OpenID Connect) / a sample site by OpenID Connect
カードは画面で選べます (暗証番号 %s)。 / Choose a test card on the page; its PIN is %s.
ブラウザが証明書を警告します。信用するなら %s を取り込んでください。
  The browser warns of the certificate: trust %s, or go on past the warning. %s says more.`,
		at(demoLoginHost, d.login.hub)+"/", at(demoJiraHost, d.login.sites)+"/", at(demoStaffHost, d.login.sites)+"/", at(demoSlackHost, d.login.sites)+"/",
		at(demoWikiHost, d.login.sites)+"/", at(demoFAQHost, d.login.sites)+"/", testcard.PIN, testcard.PIN,
		f.WebCA, f.WebCA, f.Readme)
}

func wait(ctx context.Context, pages *front, hold time.Duration) error {
	if hold <= 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-pages.failed:
		return boot.Outside(err)
	case <-time.After(hold):
		return nil
	}
}

// hints shows what to try: on the pages, and as commands that work as they stand in another terminal.
func (d *demo) hints(ctx context.Context) {
	musubi, as := "bin/musubi", filepath.Join(d.shown, "credentials", "planner.cred")
	say(d.env.stdout, `
試してみる / three things to try: 画面の「試してみる」から、退職者・異動・障害を実際に起こせます。
  On the page: a leaver, a transfer, a fault. Each really happens, and its page tells what the hub did and what the SaaS answered.

別の端末でも / or in another terminal:
  1. 退職者: 札幌市の職員が一人辞めると、数秒で SaaS から消えます / somebody leaves, and is gone from the SaaS in seconds
     %s people end --org 011002 %s --data %s --as %s
  2. 誤ったファイル: 何も変わらず、すべての誤りが出ます / a wrong file: nothing changes, every fault is told
     printf 'code,kind,name,kana,parent\n011003,municipality,札幌市,さっぽろし,\n' > wrong.csv; %s import orgs wrong.csv --data %s --as %s
  3. 強制終了: Ctrl-C か kill -9 のあと、同じ命令で続きから / kill -9 this and run it again: it goes on where it stopped
%s
代役の画面とメールの受信箱 / the stand-ins' pages and the mailbox: http://%s/
Ctrl-C で終わります。 / Ctrl-C ends it.`, musubi, d.exampleStaff(ctx), d.shown, as, musubi, d.shown, as, d.loginHints(musubi, as), d.boxAddress)
}

// loginHints are what to try about logging in, of the sample's people.
func (d *demo) loginHints(musubi, as string) string {
	if d.orgs != "" {
		return ""
	}
	return fmt.Sprintf(`  4. なぜ入れないか: 札幌市の一般ユーザは、窓口には入れてチャットには入れません / why somebody gets in here and not there
     %s why login --org 011002 S00003 --data %s --as %s
  5. カードの初回登録: 「まだひも付いていないカード」は、このパスワードで本人に結び付きます / the card that is nobody's yet is linked by this password
     %s password reset --org 141305 S00002 --reason 初回登録 --data %s --as %s
`, musubi, d.shown, as, musubi, d.shown, as)
}

// exampleStaff is the staff number of somebody of 札幌市 who is in service.
func (d *demo) exampleStaff(ctx context.Context) string {
	scope, err := d.hub.Scope(ctx, d.planner, policies.ActionPeopleRead, policies.Context{})
	if err != nil {
		return "STAFF-NUMBER"
	}
	people, err := d.hub.Directory.People(ctx, scope, directory.PeopleFilter{Org: "011002", Limit: 1})
	if err != nil || len(people) == 0 {
		return "STAFF-NUMBER"
	}
	return people[0].StaffNumber
}
