package slack

import "github.com/musubi-hub/musubi/connectors/sandbox/slack/scim"

func serviceProviderConfig(base string) any {
	type feature struct {
		Supported bool `json:"supported"`
	}
	return map[string]any{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"},
		"patch":   feature{true}, "sort": feature{}, "etag": feature{}, "changePassword": feature{},
		"bulk":   map[string]any{"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
		"filter": map[string]any{"supported": false, "maxResults": maxPage},
		"authenticationSchemes": []any{map[string]any{
			"type": "oauthbearertoken", "name": "OAuth Bearer Token", "description": "A user token with the scope admin", "primary": true,
		}},
		"meta": map[string]string{"resourceType": "ServiceProviderConfig", "location": base + "/ServiceProviderConfig"},
	}
}

func resourceType(base, name, endpoint, schema string, extensions ...string) map[string]any {
	list := []any{}
	for _, e := range extensions {
		list = append(list, map[string]any{"schema": e, "required": false})
	}
	return map[string]any{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:ResourceType"}, "id": name, "name": name, "endpoint": endpoint,
		"description": name, "schema": schema, "schemaExtensions": list,
		"meta": map[string]string{"resourceType": "ResourceType", "location": base + "/ResourceTypes/" + name},
	}
}

func resourceTypes(base string) any {
	return map[string]any{"schemas": []string{scim.SchemaList}, "totalResults": 2, "itemsPerPage": 2, "startIndex": 1, "Resources": []any{
		resourceType(base, "User", "/Users", scim.SchemaUser, scim.SchemaEnterprise, scim.SchemaGuest, scim.SchemaProfile),
		resourceType(base, "Group", "/Groups", scim.SchemaGroup),
	}}
}

// attribute describes an attribute (RFC 7643, 7).
func attribute(name, typ string, multi, required bool, mutability string, subs ...string) map[string]any {
	a := map[string]any{
		"name": name, "type": typ, "multiValued": multi, "required": required, "caseExact": false, "mutability": mutability,
		"returned": "default", "uniqueness": "none",
	}
	if len(subs) > 0 {
		var list []any
		for _, s := range subs {
			kind := "string"
			if s == "primary" {
				kind = "boolean"
			}
			list = append(list, attribute(s, kind, false, false, mutability))
		}
		a["subAttributes"] = list
	}
	return a
}

func schema(base, path, id, name string, attributes ...map[string]any) any {
	return map[string]any{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Schema"}, "id": id, "name": name, "description": name,
		"attributes": attributes, "meta": map[string]string{"resourceType": "Schema", "location": base + "/Schemas/" + path},
	}
}

func userSchema(base string) any {
	list := []map[string]any{
		attribute("userName", "string", false, true, "readWrite"), attribute("externalId", "string", false, false, "readWrite"),
		attribute("name", "complex", false, false, "readWrite", "givenName", "familyName", "honorificPrefix"),
		attribute("emails", "complex", true, true, "readWrite", "value", "type", "primary"),
		attribute("phoneNumbers", "complex", true, false, "readWrite", "value", "type", "primary"),
		attribute("active", "boolean", false, false, "readWrite"),
		attribute("groups", "complex", true, false, "readOnly", "value", "display"),
	}
	for _, name := range []string{"displayName", "nickName", "profileUrl", "title", "timezone", "preferredLanguage", "locale"} {
		list = append(list, attribute(name, "string", false, false, "readWrite"))
	}
	return schema(base, "Users", scim.SchemaUser, "User", list...)
}

func groupSchema(base string) any {
	return schema(base, "Groups", scim.SchemaGroup, "Group",
		attribute("displayName", "string", false, true, "readWrite"), attribute("members", "complex", true, false, "readWrite", "value", "display"))
}

func schemas(base string) any {
	return map[string]any{
		"schemas": []string{scim.SchemaList}, "totalResults": 2, "itemsPerPage": 2, "startIndex": 1, "Resources": []any{userSchema(base), groupSchema(base)},
	}
}
