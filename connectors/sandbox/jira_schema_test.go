package sandbox_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// platformContract validates answers by the models that jira.js has of the platform's documentation.
func platformContract(t *testing.T) func(model string, body []byte) {
	whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(shared(t, "specs/jira_cloud_models.schema.json")))
	if err != nil {
		t.Fatal(err)
	}
	return func(model string, body []byte) {
		t.Helper()
		s := compileModel(t, whole, model)
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		if err != nil {
			t.Fatalf("%s: %v: %s", model, err, body)
		}
		if err := s.Validate(v); err != nil {
			t.Errorf("%s: %v\n%.600s", model, err, body)
		}
	}
}

func TestWorkAnswersFollowTheVendorsModels(t *testing.T) {
	desk, model := deskContract(t), platformContract(t)
	platformAnswer := func(name string, a answer) { t.Helper(); model(name, a.body) }
	f, alice, bob := newWork(t)
	body := requestDoc("一", alice)
	body["requestParticipants"] = []string{bob}
	made := f.desk(201, "POST", "/request", body)
	desk("CustomerRequest", made)
	key := made.str("issueKey")
	desk("CustomerRequest", f.desk(200, "GET", "/request/"+key+"?expand=participant,requestType,sla", nil))
	desk("PagedCustomerRequest", f.desk(200, "GET", "/request?requestOwnership=ALL_REQUESTS", nil))
	desk("Comment", f.desk(201, "POST", "/request/"+key+"/comment", doc{"body": "x", "public": true}))
	desk("PagedComment", f.desk(200, "GET", "/request/"+key+"/comment?expand=attachment", nil))
	desk("PagedUser", f.desk(200, "GET", "/request/"+key+"/participant", nil))
	desk("PagedSlaInformation", f.desk(200, "GET", "/request/"+key+"/sla", nil))
	desk("SlaInformation", f.desk(200, "GET", "/request/"+key+"/sla/1", nil))
	desk("PagedCustomerTransition", f.desk(200, "GET", "/request/"+key+"/transition", nil))
	desk("PagedCustomerRequestStatus", f.desk(200, "GET", "/request/"+key+"/status", nil))
	desk("PagedRequestType", f.desk(200, "GET", "/servicedesk/1/requesttype", nil))
	desk("RequestType", f.desk(200, "GET", "/servicedesk/1/requesttype/1", nil))
	desk("CustomerRequestCreateMeta", f.desk(200, "GET", "/servicedesk/1/requesttype/1/field", nil))
	desk("ErrorResponse", f.desk(404, "GET", "/request/HELP-9", nil))
	upload, header := multipartBody(t, "x.txt", []byte("x"))
	temp := f.desk(201, "POST", "/servicedesk/1/attachTemporaryFile", upload, header)
	desk("AttachTemporaryFile", temp)
	desk("AttachmentCreateResult", f.desk(201, "POST", "/request/"+key+"/attachment", doc{
		"temporaryAttachmentIds": []string{temp.str("temporaryAttachments", 0, "temporaryAttachmentId")}, "public": true,
	}))
	desk("PagedAttachment", f.desk(200, "GET", "/request/"+key+"/attachment", nil))

	issue := platform + "/issue/" + key
	platformAnswer("CreatedIssue", f.call(201, "POST", platform+"/issue", doc{"fields": doc{"project": doc{"key": "HELP"}, "issuetype": doc{"name": "Incident"}, "summary": "二"}}))
	f.call(204, "PUT", issue, doc{"fields": doc{"summary": "変えた"}})
	platformAnswer("Issue", f.call(200, "GET", issue+"?expand=changelog&properties=*all", nil))
	platformAnswer("Comment", f.call(201, "POST", issue+"/comment", doc{"body": adfDoc("x")}))
	platformAnswer("PageOfComments", f.call(200, "GET", issue+"/comment?expand=properties", nil))
	platformAnswer("Transitions", f.call(200, "GET", issue+"/transitions", nil))
	platformAnswer("Watchers", f.call(200, "GET", issue+"/watchers", nil))
	f.call(201, "PUT", issue+"/properties/k", `1`)
	platformAnswer("EntityProperty", f.call(200, "GET", issue+"/properties/k", nil))
	platformAnswer("PropertyKeys", f.call(200, "GET", issue+"/properties", nil))
	list := f.call(200, "POST", issue+"/attachments", upload, header)
	var files []json.RawMessage
	if err := json.Unmarshal(list.body, &files); err != nil {
		t.Fatal(err)
	}
	model("Attachment", files[0])
	var file struct{ ID string }
	if err := json.Unmarshal(files[0], &file); err != nil {
		t.Fatal(err)
	}
	platformAnswer("AttachmentMetadata", f.call(200, "GET", platform+"/attachment/"+file.ID, nil))
	f.clock.forward(10_000_000_000)
	platformAnswer("SearchAndReconcileResults", f.call(200, "POST", platform+"/search/jql", doc{"jql": "project = HELP", "fields": []string{"*all"}}))
	platformAnswer("JQLCountResults", f.call(200, "POST", platform+"/search/approximate-count", doc{"jql": "project = HELP"}))
	platformAnswer("PageOfCreateMetaIssueTypes", f.call(200, "GET", platform+"/issue/createmeta/HELP/issuetypes", nil))
	for path, name := range map[string]string{"/field": "FieldDetails", "/status": "StatusDetails"} {
		var all []json.RawMessage
		if err := json.Unmarshal(f.call(200, "GET", platform+path, nil).body, &all); err != nil {
			t.Fatal(err)
		}
		for _, one := range all {
			model(name, one)
		}
	}
	platformAnswer("ContainerForRegisteredWebhooks", f.call(200, "POST", platform+"/webhook", doc{"url": "https://h.example/", "webhooks": []doc{{"events": []string{"comment_created"}, "jqlFilter": "project = HELP"}, {"events": []string{"x"}, "jqlFilter": "x"}}}, asApp))
	platformAnswer("PageWebhook", f.call(200, "GET", platform+"/webhook", nil, asApp))
	platformAnswer("WebhooksExpirationDate", f.call(200, "PUT", platform+"/webhook/refresh", doc{"webhookIds": []int{1}}, asApp))
}
