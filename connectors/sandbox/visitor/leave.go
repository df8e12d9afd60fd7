package visitor

import (
	"html/template"
	"net/http"
)

var leavePage = template.Must(template.New("leave").Parse(`<!DOCTYPE html>
<html lang="ja">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ログアウトしています | Logging out</title>
<link rel="stylesheet" href="/sandbox.css">
<link rel="icon" href="/avatar.svg" type="image/svg+xml">
</head>
<body>
<main>
<h1>ログアウトしています <span class="en" lang="en">Logging out</span></h1>
<p>このサイトからはログアウトしました。自動で移動しないときは、リンクを開いてください。<span lang="en">You are logged out here. Open the link if nothing happens.</span></p>
<p><a class="button" href="{{.}}">ログイン先でもログアウトする <span lang="en">Log out of the login service too</span></a></p>
</main>
</body>
</html>
`))

// Leave leads from a logout's form to the provider, by a page of its own: a browser holds the form's Content-Security-Policy against every redirect
// that follows the form, and the provider may lead it through all its other sites.
func (v *Visitors) Leave(w http.ResponseWriter, r *http.Request, to string) {
	w.Header().Set("Refresh", "0; url="+to)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := leavePage.Execute(w, to); err != nil {
		v.Logger.InfoContext(r.Context(), "the page of a logout wasn't written", "site", v.Name)
	}
}
