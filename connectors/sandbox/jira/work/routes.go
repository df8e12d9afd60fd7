package work

import (
	"net/http"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// The vendor's burst quotas, requests a second for each endpoint and method.
const (
	readRate  = 100 // GET and POST
	writeRate = 50  // PUT and DELETE
	issueRate = 150 // GET issue
)

// CustomerOps are the operations that a portal customer may call.
var CustomerOps = map[string]bool{
	"getRequestTypes": true, "getRequestTypeById": true, "getRequestTypeFields": true, "createCustomerRequest": true, "getCustomerRequests": true,
	"getCustomerRequestByIdOrKey": true, "getRequestComments": true, "createRequestComment": true, "getRequestCommentById": true,
	"getRequestParticipants": true, "addRequestParticipants": true, "removeRequestParticipants": true, "getSlaInformation": true,
	"getSlaInformationById": true, "getCustomerRequestStatus": true, "getCustomerTransitions": true, "performCustomerTransition": true,
	"attachTemporaryFile": true, "createCommentWithAttachment": true, "getAttachmentsForRequest": true, "getRequestAttachmentContent": true,
	"getIssue": true, "getComments": true, "getComment": true, "getAttachment": true, "getAttachmentContent": true,
	"searchAndReconsileIssuesUsingJql": true, "searchAndReconsileIssuesUsingJqlPost": true,
}

// Routes lists the operations by the vendor's own operation names. inDesk keeps those below a service desk to the one there is.
func (t *Tracker) Routes(inDesk func(func(*site.Call)) func(*site.Call)) []site.Route {
	var list []site.Route
	add := func(method, path, op string, h func(*site.Call)) *site.Route {
		rate := readRate
		if method == http.MethodPut || method == http.MethodDelete {
			rate = writeRate
		}
		list = append(list, site.Route{
			Method: method, Pattern: path, Op: op, Class: method + " " + path, Limit: site.Limit{Rate: float64(rate), Burst: rate}, Handle: h,
		})
		return &list[len(list)-1]
	}
	t.deskRoutes(add, inDesk)
	for _, v := range []string{"2", "3"} {
		t.platformRoutes("/rest/api/"+v, add)
	}
	const hooks = "/rest/webhooks/1.0/webhook"
	add(http.MethodGet, hooks, "getAdminWebhooks", t.listAdminHooks)
	add(http.MethodPost, hooks, "createAdminWebhook", t.saveAdminHook)
	add(http.MethodGet, hooks+"/{webhookId}", "getAdminWebhook", t.getAdminHook)
	add(http.MethodPut, hooks+"/{webhookId}", "updateAdminWebhook", t.saveAdminHook)
	add(http.MethodDelete, hooks+"/{webhookId}", "deleteAdminWebhook", t.deleteAdminHook)
	return list
}

type adder func(method, path, op string, h func(*site.Call)) *site.Route

func (t *Tracker) deskRoutes(add adder, inDesk func(func(*site.Call)) func(*site.Call)) {
	const sd = "/rest/servicedeskapi/servicedesk/{serviceDeskId}"
	add(http.MethodGet, sd+"/requesttype", "getRequestTypes", inDesk(t.listTypes))
	add(http.MethodGet, sd+"/requesttype/{requestTypeId}", "getRequestTypeById", inDesk(t.getType))
	add(http.MethodGet, sd+"/requesttype/{requestTypeId}/field", "getRequestTypeFields", inDesk(t.getTypeFields))
	add(http.MethodPost, sd+"/attachTemporaryFile", "attachTemporaryFile", inDesk(t.addTemporary))

	const requests = "/rest/servicedeskapi/request"
	const one = requests + "/{issueIdOrKey}"
	add(http.MethodPost, requests, "createCustomerRequest", t.createRequest)
	add(http.MethodGet, requests, "getCustomerRequests", t.listRequests)
	add(http.MethodGet, one, "getCustomerRequestByIdOrKey", t.getRequest)
	add(http.MethodGet, one+"/comment", "getRequestComments", t.listDeskComments)
	add(http.MethodPost, one+"/comment", "createRequestComment", t.addDeskComment)
	add(http.MethodGet, one+"/comment/{commentId}", "getRequestCommentById", t.getDeskComment)
	add(http.MethodGet, one+"/participant", "getRequestParticipants", t.listParticipants)
	add(http.MethodPost, one+"/participant", "addRequestParticipants", t.changeParticipants(false))
	add(http.MethodDelete, one+"/participant", "removeRequestParticipants", t.changeParticipants(true))
	add(http.MethodGet, one+"/sla", "getSlaInformation", t.listSLA)
	add(http.MethodGet, one+"/sla/{slaMetricId}", "getSlaInformationById", t.getSLA)
	add(http.MethodGet, one+"/status", "getCustomerRequestStatus", t.listStatus)
	add(http.MethodGet, one+"/transition", "getCustomerTransitions", t.listDeskTransitions)
	add(http.MethodPost, one+"/transition", "performCustomerTransition", t.doDeskTransition)
	add(http.MethodGet, one+"/attachment", "getAttachmentsForRequest", t.listDeskFiles)
	add(http.MethodPost, one+"/attachment", "createCommentWithAttachment", t.attachTemporary)
	add(http.MethodGet, one+"/attachment/{attachmentId}", "getRequestAttachmentContent", t.getContent)
}

func (t *Tracker) platformRoutes(api string, add adder) {
	issue := api + "/issue/{issueIdOrKey}"
	add(http.MethodPost, api+"/issue", "createIssue", t.createIssue)
	add(http.MethodGet, issue, "getIssue", t.getIssue).Limit = site.Limit{Rate: issueRate, Burst: issueRate}
	add(http.MethodPut, issue, "editIssue", t.editIssue)
	add(http.MethodGet, issue+"/comment", "getComments", t.listComments)
	add(http.MethodPost, issue+"/comment", "addComment", t.addComment)
	add(http.MethodGet, issue+"/comment/{commentId}", "getComment", t.getComment)
	add(http.MethodGet, issue+"/transitions", "getTransitions", t.getTransitions)
	add(http.MethodPost, issue+"/transitions", "doTransition", t.doTransition)
	add(http.MethodGet, issue+"/watchers", "getIssueWatchers", t.getWatchers)
	add(http.MethodPost, issue+"/watchers", "addWatcher", t.addWatcher)
	add(http.MethodDelete, issue+"/watchers", "removeWatcher", t.removeWatcher)
	add(http.MethodGet, issue+"/properties", "getIssuePropertyKeys", t.listProperties)
	add(http.MethodGet, issue+"/properties/{propertyKey}", "getIssueProperty", t.getProperty)
	add(http.MethodPut, issue+"/properties/{propertyKey}", "setIssueProperty", t.setProperty)
	add(http.MethodDelete, issue+"/properties/{propertyKey}", "deleteIssueProperty", t.deleteProperty)
	add(http.MethodPost, issue+"/attachments", "addAttachment", t.addAttachments)
	add(http.MethodGet, api+"/attachment/{id}", "getAttachment", t.getAttachment)
	add(http.MethodDelete, api+"/attachment/{id}", "removeAttachment", t.deleteAttachment)
	add(http.MethodGet, api+"/attachment/content/{id}", "getAttachmentContent", t.getContent)
	add(http.MethodGet, api+"/search/jql", "searchAndReconsileIssuesUsingJql", t.searchGet)
	add(http.MethodPost, api+"/search/jql", "searchAndReconsileIssuesUsingJqlPost", t.searchPost)
	add(http.MethodPost, api+"/search/approximate-count", "countIssues", t.count)
	add(http.MethodGet, api+"/field", "getFields", t.listFields)
	add(http.MethodGet, api+"/status", "getStatuses", t.listStatuses)
	add(http.MethodGet, api+"/issue/createmeta/{projectIdOrKey}/issuetypes", "getCreateIssueMetaIssueTypes", t.createTypes)
	add(http.MethodGet, api+"/webhook", "getDynamicWebhooksForApp", onlyApps(t.listHooks))
	add(http.MethodPost, api+"/webhook", "registerDynamicWebhooks", onlyApps(t.registerHooks))
	add(http.MethodPut, api+"/webhook/refresh", "refreshWebhooks", onlyApps(t.refreshHooks))
	add(http.MethodDelete, api+"/webhook", "deleteWebhookById", onlyApps(t.deleteHooks))
}
