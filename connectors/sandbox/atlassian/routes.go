package atlassian

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"time"

	"github.com/musubi-hub/musubi/connectors/sandbox/site"
)

// quotaClass is the one bucket of the directory: the vendor publishes no classes.
const quotaClass = "atlassian.scim"

// routes lists the operations by the vendor's own operation names.
func (d *Directory) routes() []site.Route {
	const root = "/scim/directory/{directoryId}"
	limit := site.Limit{Rate: d.opt.Rate, Burst: d.opt.Burst}
	var list []site.Route
	add := func(method, path, op string, h func(*site.Call)) {
		list = append(list, site.Route{
			Method: method, Pattern: root + path, Op: op, Class: quotaClass, Limit: limit, Handle: d.inDirectory(h),
		})
	}
	add(http.MethodGet, "/Users", "getUsersFromAnActiveDirectory", d.listUsers)
	add(http.MethodPost, "/Users", "createAUserInAnActiveDirectory", d.createUser)
	add(http.MethodGet, "/Users/{userId}", "getAUserFromActiveDirectory", d.getUser)
	add(http.MethodPut, "/Users/{userId}", "updateUserInformationInAnActiveDirectory", d.replaceUser)
	add(http.MethodPatch, "/Users/{userId}", "patchUserInformationInAnActiveDirectory", d.modifyUser)
	add(http.MethodDelete, "/Users/{userId}", "deleteAUserFromAnActiveDirectory", d.deleteUser)
	add(http.MethodGet, "/Groups", "getAllGroupsFromAnActiveDirectory", d.listGroups)
	add(http.MethodPost, "/Groups", "createAGroupInActiveDirectory", d.createGroup)
	add(http.MethodGet, "/Groups/{id}", "get", d.getGroup)
	add(http.MethodPut, "/Groups/{id}", "put", d.replaceGroup)
	add(http.MethodPatch, "/Groups/{id}", "patch", d.modifyGroup)
	add(http.MethodDelete, "/Groups/{id}", "DeleteAGroup", d.deleteGroup)
	add(http.MethodGet, "/ServiceProviderConfig", "getConfig", d.document(d.serviceProviderConfig))
	add(http.MethodGet, "/ResourceTypes", "getResourceTypes", d.document(d.resourceTypes))
	add(http.MethodGet, "/ResourceTypes/User", "getUserResourceType", d.document(d.userResourceType))
	add(http.MethodGet, "/ResourceTypes/Group", "getGroupResourceType", d.document(d.groupResourceType))
	add(http.MethodGet, "/Schemas", "getSchemas", d.document(d.schemas))
	add(http.MethodGet, "/Schemas/"+schemaUser, "getUserSchemas", d.document(d.userSchema))
	add(http.MethodGet, "/Schemas/"+schemaGroup, "getGroupSchemas", d.document(d.groupSchema))
	add(http.MethodGet, "/Schemas/"+schemaEnterprise, "getExtensionUserSchemas", d.document(d.enterpriseSchema))
	return list
}

// inDirectory answers 404 for any directory but the one there is.
func (d *Directory) inDirectory(h func(*site.Call)) func(*site.Call) {
	return func(c *site.Call) {
		if c.Vars["directoryId"] != d.opt.DirectoryID {
			d.writeRefusal(c.W, c.R, notFound("DIRECTORY", clip(c.Vars["directoryId"])))
			return
		}
		h(c)
	}
}

func (d *Directory) document(make func(base string) any) func(*site.Call) {
	return func(c *site.Call) { writeJSON(c.W, http.StatusOK, scimType, make(c.Base)) }
}

// Authenticate checks the bearer token and answers 401 where it is missing, wrong or expired.
func (d *Directory) Authenticate(c *site.Call, _ *site.Route) bool {
	scheme, token, _ := strings.Cut(c.R.Header.Get("Authorization"), " ")
	switch {
	case !strings.EqualFold(scheme, "Bearer") || token == "":
		d.writeRefusal(c.W, c.R, refuse(http.StatusUnauthorized, "", "Missing authorization header"))
	case d.opt.Token == "" || !sameSecret(strings.TrimSpace(token), d.opt.Token):
		d.writeRefusal(c.W, c.R, refuse(http.StatusUnauthorized, "", "The API key is not valid"))
	case !d.opt.TokenExpires.IsZero() && !c.Now.Before(d.opt.TokenExpires):
		d.writeRefusal(c.W, c.R, refuse(http.StatusUnauthorized, "", "The API key has expired"))
	default:
		return true
	}
	return false
}

func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// Unrouted answers a path or method that the API doesn't have.
func (d *Directory) Unrouted(w http.ResponseWriter, r *http.Request, allowed []string) {
	if len(allowed) == 0 {
		d.writeRefusal(w, r, refuse(http.StatusNotFound, "", "No such resource"))
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	d.writeRefusal(w, r, refuse(http.StatusMethodNotAllowed, "", "Method not allowed"))
}

// Throttled answers a request past the quota. The vendor publishes no headers for this API but Retry-After.
func (d *Directory) Throttled(w http.ResponseWriter, r *http.Request, _ site.Limit, retryAfter time.Duration, _ time.Time) {
	site.SetRetryAfter(w, retryAfter)
	d.writeRefusal(w, r, refuse(http.StatusTooManyRequests, "", "Too many requests"))
}

// Allowed says nothing about the quota: the vendor doesn't either.
func (d *Directory) Allowed(http.ResponseWriter, site.Limit, int) {}
