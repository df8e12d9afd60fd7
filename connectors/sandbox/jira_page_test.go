package sandbox_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func (f *fixture) page(t *testing.T, path string, status int) string {
	t.Helper()
	w := httptest.NewRecorder()
	f.s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, base+path, nil))
	if w.Code != status {
		t.Fatalf("%s: status %d", path, w.Code)
	}
	return w.Body.String()
}

func TestTicketPagesTellPublicFromInternal(t *testing.T) {
	f, alice, bob := newWork(t)
	key := f.request("<b>様式</b>", alice)
	f.desk(200, "POST", "/request/"+key+"/participant", doc{"accountIds": []string{bob}})
	f.desk(201, "POST", "/request/"+key+"/comment", doc{"body": "公開の返事", "public": true})
	f.desk(201, "POST", "/request/"+key+"/comment", doc{"body": "内部のメモ"})
	upload, header := multipartBody(t, "様式.csv", []byte("x"))
	temp := f.desk(201, "POST", "/servicedesk/1/attachTemporaryFile", upload, header).str("temporaryAttachments", 0, "temporaryAttachmentId")
	f.desk(201, "POST", "/request/"+key+"/attachment", doc{"temporaryAttachmentIds": []string{temp}, "public": true})
	if list := f.page(t, "/jira/requests?q=help", 200); !strings.Contains(list, `href="/jira/requests/`+key+`"`) || strings.Contains(list, "<b>様式") {
		t.Errorf("list: %s", list)
	}
	if home := f.page(t, "/", 200); !strings.Contains(home, `Requests</span></dt><dd>1<`) {
		t.Error("the first page doesn't count the request")
	}
	agent, customer := f.page(t, "/jira/requests/"+key, 200), f.page(t, "/jira/requests/"+key+"?view=customer", 200)
	for _, want := range []string{"公開の返事", "内部のメモ", "Internal", "Time to resolution", "町役場 002", "様式.csv (1 KiB)", "2026-11-24 09:00 JST"} {
		if !strings.Contains(agent, want) {
			t.Errorf("an agent doesn't see %q", want)
		}
	}
	if !strings.Contains(customer, "公開の返事") || strings.Contains(customer, "内部のメモ") || strings.Contains(customer, "Time to resolution") {
		t.Error("the reporter's view shows what it must not")
	}
	f.page(t, "/jira/requests/HELP-99", 404)
}
