package atlassian

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// refusal is an answer that says no. The vendor has three shapes: Failure for 401 and 403, BadRequestException (a serialized Java
// exception) for a 400 of PUT on a group, ScimError for everything else.
type refusal struct {
	status   int
	scimType string
	detail   string
	java     bool
}

func refuse(status int, scimType, detail string) *refusal {
	return &refusal{status: status, scimType: scimType, detail: detail}
}

func invalid(detail string) *refusal { return refuse(http.StatusBadRequest, "invalidValue", detail) }

func notFound(kind, id string) *refusal {
	return refuse(http.StatusNotFound, "", "Resource ["+kind+"]: with id["+id+"] not found.")
}

func conflict(kind, field, value string) *refusal {
	return refuse(http.StatusConflict, "uniqueness", "Resource ["+kind+"]: with "+field+"["+value+"] already exists.")
}

// asJava turns a 400 into the shape that PUT on a group has.
func (r *refusal) asJava() *refusal {
	if r == nil || r.status != http.StatusBadRequest {
		return r
	}
	c := *r
	c.java = true
	return &c
}

const schemaError = "urn:ietf:params:scim:api:messages:2.0:Error"

type scimError struct {
	Schemas  []string `json:"schemas"`
	Status   string   `json:"status"`
	ScimType string   `json:"scimType,omitempty"`
	Detail   string   `json:"detail,omitempty"`
}

type failure struct {
	Error   string `json:"error"`
	TraceID string `json:"traceId"`
}

type javaThrowable struct {
	Cause            *javaThrowable   `json:"cause,omitempty"`
	StackTrace       []javaStackFrame `json:"stackTrace"`
	ResponseStatus   string           `json:"responseStatus,omitempty"`
	ScimErrorType    string           `json:"scimErrorType,omitempty"`
	Message          string           `json:"message"`
	LocalizedMessage string           `json:"localizedMessage"`
	Suppressed       []javaThrowable  `json:"suppressed"`
}

type javaStackFrame struct {
	MethodName   string `json:"methodName"`
	FileName     string `json:"fileName"`
	LineNumber   int    `json:"lineNumber"`
	ClassName    string `json:"className"`
	NativeMethod bool   `json:"nativeMethod"`
}

func (d *Directory) writeRefusal(w http.ResponseWriter, r *http.Request, x *refusal) {
	switch {
	case x.status == http.StatusUnauthorized || x.status == http.StatusForbidden:
		trace := strings.ReplaceAll(site.DeriveUUID(d.seed, "trace", r.Method, r.URL.Path), "-", "")[:16]
		writeJSON(w, x.status, "application/json", failure{x.detail, trace})
	case x.java:
		frame := javaStackFrame{"replaceGroup", "ScimGroupResource.java", 1, "sandbox.ScimGroupResource", false}
		writeJSON(w, x.status, "application/json", javaThrowable{
			StackTrace: []javaStackFrame{frame}, ResponseStatus: "BAD_REQUEST", ScimErrorType: x.scimType,
			Message: x.detail, LocalizedMessage: x.detail, Suppressed: []javaThrowable{},
		})
	default:
		writeJSON(w, x.status, scimType, scimError{[]string{schemaError}, strconv.Itoa(x.status), x.scimType, x.detail})
	}
}

const scimType = "application/scim+json"

func writeJSON(w http.ResponseWriter, status int, contentType string, doc any) {
	raw, err := json.Marshal(doc)
	if err != nil { // only types of this package come here
		http.Error(w, "sandbox: encode: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(raw)
}

// Refuse answers with status in the vendor's shape, for faults and quotas.
func (d *Directory) Refuse(w http.ResponseWriter, r *http.Request, status int, detail string) {
	d.writeRefusal(w, r, refuse(status, "", detail))
}
