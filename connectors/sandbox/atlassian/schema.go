package atlassian

// attribute describes an attribute as /Schemas does (RFC 7643, 7).
type attribute struct {
	Name          string      `json:"name"`
	Type          string      `json:"type"`
	MultiValued   bool        `json:"multiValued"`
	Required      bool        `json:"required"`
	CaseExact     bool        `json:"caseExact"`
	Mutability    string      `json:"mutability"`
	Returned      string      `json:"returned"`
	Uniqueness    string      `json:"uniqueness"`
	SubAttributes []attribute `json:"subAttributes,omitempty"`
}

func attr(name, typ, mutability string, change ...func(*attribute)) attribute {
	a := attribute{Name: name, Type: typ, Mutability: mutability, Returned: "default", Uniqueness: "none"}
	for _, f := range change {
		f(&a)
	}
	return a
}

func required(a *attribute) { a.Required = true }
func exact(a *attribute)    { a.CaseExact = true }
func unique(a *attribute)   { a.Uniqueness = "server" }
func many(subs ...attribute) func(*attribute) {
	return func(a *attribute) { a.MultiValued, a.SubAttributes = true, subs }
}

func texts(mutability string, names ...string) []attribute {
	var list []attribute
	for _, n := range names {
		list = append(list, attr(n, "string", mutability))
	}
	return list
}

type schemaDoc struct {
	Schemas     []string    `json:"schemas"`
	ID          string      `json:"id"`
	Name        string      `json:"name"`
	Description string      `json:"description"`
	Attributes  []attribute `json:"attributes"`
	Meta        meta        `json:"meta"`
}

func (d *Directory) schemaDoc(base, id, name string, attributes []attribute) schemaDoc {
	return schemaDoc{
		[]string{"urn:ietf:params:scim:schemas:core:2.0:Schema"},
		id, name, name, attributes,
		meta{ResourceType: "Schema", Location: d.address(base, "Schemas", id)},
	}
}

func (d *Directory) userSchema(base string) any {
	value := []attribute{
		attr("value", "string", "readWrite"), attr("type", "string", "readWrite"), attr("primary", "boolean", "readWrite"),
	}
	list := []attribute{
		attr("userName", "string", "readWrite", required, unique),
		attr("externalId", "string", "readOnly", exact),
		attr("name", "complex", "readWrite", func(a *attribute) {
			a.SubAttributes = texts("readWrite", "formatted", "familyName", "givenName", "middleName", "honorificPrefix", "honorificSuffix")
		}),
		attr("emails", "complex", "readWrite", required, many(value...)),
		attr("phoneNumbers", "complex", "readWrite", many(value...)),
		attr("active", "boolean", "readWrite"),
		attr("groups", "complex", "readOnly", many(texts("readOnly", "value", "display", "type", "$ref")...)),
	}
	list = append(list, texts("readWrite", "displayName", "nickName", "title", "preferredLanguage", "department", "organization", "timezone")...)
	return d.schemaDoc(base, schemaUser, "User", list)
}

func (d *Directory) groupSchema(base string) any {
	return d.schemaDoc(base, schemaGroup, "Group", []attribute{
		attr("displayName", "string", "immutable", required, unique),
		attr("externalId", "string", "readOnly", exact),
		attr("members", "complex", "readWrite", many(texts("immutable", "value", "display", "type", "$ref")...)),
	})
}

func (d *Directory) enterpriseSchema(base string) any {
	return d.schemaDoc(base, schemaEnterprise, "EnterpriseUser", texts("readWrite", "organization", "department"))
}

func (d *Directory) schemas(base string) any {
	all := []any{d.userSchema(base), d.groupSchema(base), d.enterpriseSchema(base)}
	return newList(len(all), page{1, maxPage}, all)
}

func (d *Directory) resourceType(base, name, endpoint, schema string, extensions ...string) any {
	type extension struct {
		Schema   string `json:"schema"`
		Required bool   `json:"required"`
	}
	list := []extension{}
	for _, e := range extensions {
		list = append(list, extension{Schema: e})
	}
	return map[string]any{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:ResourceType"},
		"id":      name, "name": name, "endpoint": endpoint, "schema": schema, "schemaExtensions": list,
		"meta": meta{ResourceType: "ResourceType", Location: d.address(base, "ResourceTypes", name)},
	}
}

func (d *Directory) userResourceType(base string) any {
	return d.resourceType(base, "User", "/Users", schemaUser, schemaEnterprise, schemaAtlassian)
}

func (d *Directory) groupResourceType(base string) any {
	return d.resourceType(base, "Group", "/Groups", schemaGroup)
}

func (d *Directory) resourceTypes(base string) any {
	all := []any{d.userResourceType(base), d.groupResourceType(base)}
	return newList(len(all), page{1, maxPage}, all)
}

func (d *Directory) serviceProviderConfig(base string) any {
	type feature struct {
		Supported bool `json:"supported"`
	}
	return map[string]any{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"},
		"patch":   feature{true}, "sort": feature{}, "etag": feature{}, "changePassword": feature{},
		"bulk":   map[string]any{"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
		"filter": map[string]any{"supported": true, "maxResults": maxPage},
		"authenticationSchemes": []any{map[string]any{
			"type": "oauthbearertoken", "name": "Bearer token", "description": "The directory's API key", "primary": true,
		}},
		"meta": meta{
			ResourceType: "ServiceProviderConfig",
			Location:     base + "/" + Name + "/scim/directory/" + d.opt.DirectoryID + "/ServiceProviderConfig",
		},
	}
}
