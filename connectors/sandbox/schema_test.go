package sandbox_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/musubi-hub/musubi/connectors/sandbox"
)

// scimContract validates answers by Atlassian's own OpenAPI document.
func scimContract(t *testing.T) func(method, path string, a answer) {
	spec, err := openapi3.NewLoader().LoadFromData(shared(t, "specs/atlassian_user_provisioning_scim.json"))
	if err != nil {
		t.Fatal(err)
	}
	return func(method, path string, a answer) {
		t.Helper()
		item := spec.Paths.Value("/scim/directory/{directoryId}" + path)
		if item == nil || item.GetOperation(method) == nil {
			t.Fatalf("the contract has no %s %s", method, path)
		}
		checkAnswer(t, item.GetOperation(method), method+" "+path, a)
	}
}

func checkAnswer(t *testing.T, op *openapi3.Operation, name string, a answer) {
	t.Helper()
	ref := op.Responses.Value(strconv.Itoa(a.status))
	if ref == nil {
		t.Fatalf("%s: the contract has no status %d", name, a.status)
	}
	if len(ref.Value.Content) == 0 {
		if len(a.body) > 0 {
			t.Fatalf("%s: status %d must have no body, got %s", name, a.status, a.body)
		}
		return
	}
	media, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	content := ref.Value.Content.Get(media)
	if content == nil {
		t.Fatalf("%s: the contract has no %s for status %d", name, media, a.status)
	}
	var v any
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if content.Schema == nil || content.Schema.Value.Type.Is("string") { // metadata documents are typed "string" in the contract
		return
	}
	if err := content.Schema.Value.VisitJSON(v, openapi3.VisitAsResponse(), openapi3.MultiErrors()); err != nil {
		t.Fatalf("%s: status %d is not as the contract says: %v\n%s", name, a.status, err, a.body)
	}
	for k := range content.Schema.Value.Properties { // a schema without required fields accepts {}: something must be there
		if _, ok := a.doc[k]; ok {
			return
		}
	}
	t.Fatalf("%s: status %d holds nothing of the contract: %s", name, a.status, a.body)
}

func TestScimAnswersFollowTheVendorsContract(t *testing.T) {
	check := scimContract(t)
	f := newFixture(t)
	u := f.scim(201, "POST", "/Users", userDoc(1))
	check("POST", "/Users", u)
	id := u.str("id")
	check("POST", "/Users", f.scim(409, "POST", "/Users", userDoc(1)))
	check("POST", "/Users", f.scim(400, "POST", "/Users", doc{}))
	check("GET", "/Users", f.scim(200, "GET", "/Users", nil))
	check("GET", "/Users", f.scim(400, "GET", "/Users?filter=x", nil))
	check("GET", "/Users/{userId}", f.scim(200, "GET", "/Users/"+id, nil))
	check("GET", "/Users/{userId}", f.scim(404, "GET", "/Users/nobody", nil))
	check("PUT", "/Users/{userId}", f.scim(200, "PUT", "/Users/"+id, userDoc(1)))
	check("PUT", "/Users/{userId}", f.scim(400, "PUT", "/Users/"+id, doc{}))
	deactivate := patchDoc(doc{"op": "replace", "path": "active", "value": false})
	check("PATCH", "/Users/{userId}", f.scim(200, "PATCH", "/Users/"+id, deactivate))
	check("PATCH", "/Users/{userId}", f.scim(404, "PATCH", "/Users/nobody", deactivate))
	g := f.scim(201, "POST", "/Groups", groupDoc("office", id))
	check("POST", "/Groups", g)
	gid := g.str("id")
	check("POST", "/Groups", f.scim(409, "POST", "/Groups", groupDoc("office")))
	check("GET", "/Groups", f.scim(200, "GET", "/Groups", nil))
	check("GET", "/Groups/{id}", f.scim(200, "GET", "/Groups/"+gid, nil))
	check("PUT", "/Groups/{id}", f.scim(200, "PUT", "/Groups/"+gid, groupDoc("office")))
	check("PUT", "/Groups/{id}", f.scim(400, "PUT", "/Groups/"+gid, groupDoc("renamed")))
	add := patchDoc(doc{"op": "add", "path": "members", "value": []doc{{"value": id}}})
	check("PATCH", "/Groups/{id}", f.scim(200, "PATCH", "/Groups/"+gid, add))
	check("PATCH", "/Groups/{id}", f.scim(400, "PATCH", "/Groups/"+gid, patchDoc(doc{"op": "add", "path": "["})))
	check("DELETE", "/Groups/{id}", f.scim(204, "DELETE", "/Groups/"+gid, nil))
	check("DELETE", "/Users/{userId}", f.scim(204, "DELETE", "/Users/"+id, nil))
	check("DELETE", "/Users/{userId}", f.scim(404, "DELETE", "/Users/"+id, nil))
	noToken := func(r *http.Request) { r.Header.Del("Authorization") }
	check("GET", "/Users", f.scim(401, "GET", "/Users", nil, noToken))
	for _, path := range []string{
		"/ServiceProviderConfig", "/ResourceTypes", "/ResourceTypes/User", "/ResourceTypes/Group", "/Schemas",
		"/Schemas/urn:ietf:params:scim:schemas:core:2.0:User", "/Schemas/urn:ietf:params:scim:schemas:core:2.0:Group",
		"/Schemas/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
	} {
		check("GET", path, f.scim(200, "GET", path, nil))
	}
	for _, status := range []int{403, 500, 503} {
		f.s.ClearFaults()
		if err := f.s.AddFaults(sandbox.Fault{Target: "atlassian", Kind: "status", Status: status}); err != nil {
			t.Fatal(err)
		}
		check("GET", "/Users", f.scim(status, "GET", "/Users", nil))
	}
}

// compileModel compiles one of many models. Each is a document of its own: its references begin at itself.
func compileModel(t *testing.T, whole any, model string) *jsonschema.Schema {
	t.Helper()
	defs, _ := whole.(map[string]any)["$defs"].(map[string]any)
	if defs[model] == nil {
		t.Fatalf("the contract has no model %q", model)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(model+".json", defs[model]); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(model + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// deskContract validates answers by the models that jira.js has of the vendor's documentation.
func deskContract(t *testing.T) func(model string, a answer) {
	raw := shared(t, "specs/jsm_models.schema.json")
	whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return func(model string, a answer) {
		t.Helper()
		s := compileModel(t, whole, model)
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(a.body))
		if err != nil {
			t.Fatalf("%s: %v: %s", model, err, a.body)
		}
		if err := s.Validate(v); err != nil {
			t.Fatalf("%s: %v\n%s", model, err, a.body)
		}
		known := whole.(map[string]any)["$defs"].(map[string]any)[model].(map[string]any)["properties"].(map[string]any)
		for k := range a.doc { // models take any further field; a field that they don't name is a mistake of ours
			if _, ok := known[k]; !ok {
				t.Errorf("%s: the model has no %q", model, k)
			}
		}
		if len(a.doc) == 0 {
			t.Errorf("%s: empty answer", model)
		}
	}
}

func TestDeskAnswersFollowTheVendorsModels(t *testing.T) {
	check := deskContract(t)
	f := newFixture(t)
	check("SoftwareInfo", f.desk(200, "GET", "/info", nil))
	id := f.customer(1)
	check("User", f.desk(201, "POST", "/customer", doc{"email": "two@city.example.lg.jp", "displayName": "二"}))
	check("ErrorResponse", f.desk(400, "POST", "/customer", doc{"email": "two@city.example.lg.jp", "displayName": "二"}))
	check("Organization", f.desk(201, "POST", "/organization", doc{"name": "例示市"}))
	check("Organization", f.desk(200, "GET", "/organization/1", nil))
	check("PagedOrganization", f.desk(200, "GET", "/organization", nil))
	f.desk(204, "POST", "/organization/1/user", doc{"accountIds": []string{id}})
	check("PagedUser", f.desk(200, "GET", "/organization/1/user", nil))
	f.desk(201, "PUT", "/organization/1/property/code", `{"code":"011002"}`)
	check("PropertyKeys", f.desk(200, "GET", "/organization/1/property", nil))
	check("EntityProperty", f.desk(200, "GET", "/organization/1/property/code", nil))
	check("PagedServiceDesk", f.desk(200, "GET", "/servicedesk", nil))
	check("ServiceDesk", f.desk(200, "GET", "/servicedesk/1", nil))
	f.desk(204, "POST", "/servicedesk/1/organization", doc{"organizationId": 1})
	check("PagedOrganization", f.desk(200, "GET", "/servicedesk/1/organization", nil))
	check("PagedUser", f.desk(200, "GET", "/servicedesk/1/customer", nil, experimental))
	check("ErrorResponse", f.desk(412, "GET", "/servicedesk/1/customer", nil))
	check("ErrorResponse", f.desk(404, "GET", "/organization/99", nil))
	check("ErrorResponse", f.desk(401, "GET", "/organization", nil, func(r *http.Request) { r.Header.Del("Authorization") }))
}

func TestPlatformAnswersFollowTheVendorsContract(t *testing.T) {
	zipped, err := gzip.NewReader(bytes.NewReader(shared(t, "specs/jira_cloud_v3.openapi.json.gz")))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(zipped)
	if err != nil {
		t.Fatal(err)
	}
	var whole struct {
		Components struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(raw, &whole); err != nil {
		t.Fatal(err)
	}
	// Only the models that are needed: the whole document takes seconds.
	c := jsonschema.NewCompiler()
	defs := map[string]any{}
	for _, name := range []string{"User", "AvatarUrlsBean", "ErrorCollection", "SimpleListWrapperApplicationRole", "ApplicationRole", "SimpleListWrapperGroupName", "GroupName", "ListWrapperCallbackApplicationRole", "ListWrapperCallbackGroupName"} {
		body := bytes.ReplaceAll(whole.Components.Schemas[name], []byte("#/components/schemas/"), []byte("#/$defs/"))
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defs[name] = v
	}
	if err := c.AddResource("jira.json", map[string]any{"$defs": defs}); err != nil {
		t.Fatal(err)
	}
	check := func(model string, v any) {
		t.Helper()
		s, err := c.Compile("jira.json#/$defs/" + model)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(v); err != nil {
			t.Fatalf("%s: %v", model, err)
		}
	}
	f := newFixture(t)
	id := f.customer(1)
	check("User", map[string]any(f.call(200, "GET", "/jira/rest/api/3/user?accountId="+id, nil).doc))
	check("User", map[string]any(f.call(200, "GET", "/jira/rest/api/3/myself", nil).doc))
	var found []any
	if err := json.Unmarshal(f.call(200, "GET", "/jira/rest/api/3/user/search?query=town001", nil).body, &found); err != nil || len(found) != 1 {
		t.Fatalf("search: %v %v", found, err)
	}
	check("User", found[0])
	if kind := found[0].(map[string]any)["accountType"]; kind != "customer" {
		t.Fatalf("accountType %v", kind)
	}
	for _, path := range []string{"/jira/rest/api/3/search", "/jira/rest/api/2/search"} {
		check("ErrorCollection", map[string]any(f.call(410, "GET", path, nil).doc))
		f.call(410, "POST", path, doc{})
	}
	check("ErrorCollection", map[string]any(f.call(404, "GET", "/jira/rest/api/3/user?accountId=none", nil).doc))
}
