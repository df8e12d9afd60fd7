// A SCIM client written from the examples of RFC 7644 and RFC 7643 alone: sections 3.3 (create), 3.4.1 (read), 3.4.2 (list, filter,
// pages), 3.5.1 (PUT), 3.5.2 (PATCH), 3.6 (DELETE), 3.12 (errors) and 4 (discovery). It checks the shape of every answer. Where a
// vendor documents that it deviates, DIALECT names the deviation and the client does as the vendor says. Prints what it read as one
// line of JSON. SCIM_URL and SCIM_TOKEN say where and as whom, MAIL is the domain of its people.
import process from "node:process";

const { SCIM_URL: base, SCIM_TOKEN: token, DIALECT: dialect, MAIL: mail } = process.env;
if (!base || !token || !mail || !["atlassian", "slack"].includes(dialect)) {
  console.error("scim-client: SCIM_URL, SCIM_TOKEN, MAIL and DIALECT (atlassian or slack) are needed");
  process.exit(2);
}
const core = "urn:ietf:params:scim:schemas:core:2.0:";
const messages = "urn:ietf:params:scim:api:messages:2.0:";
const slack = dialect === "slack";
const operations = new Set();

function must(condition, what, seen) {
  if (!condition) throw new Error(`${what}: ${JSON.stringify(seen)}`);
}

// call sends a request and checks what RFC 7644 asks of every answer.
async function call(operation, method, path, { body, want = 200, as = token } = {}) {
  const response = await fetch(base + path, {
    method,
    redirect: "error",
    headers: { Authorization: `Bearer ${as}`, Accept: "application/scim+json", ...(body && { "Content-Type": "application/scim+json" }) },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  must([want].flat().includes(response.status), `${operation}: status ${response.status}, want ${want}`, text);
  operations.add(operation);
  if (response.status === 204) {
    must(text === "", `${operation}: 204 has no body`, text);
    return null;
  }
  must(/^application\/(scim\+)?json/.test(response.headers.get("content-type") ?? ""), `${operation}: media type`, response.headers.get("content-type"));
  const answer = JSON.parse(text);
  if (response.status === 201) must(response.headers.get("location") === answer.meta?.location, `${operation}: Location`, answer.meta);
  return answer;
}

// refused makes a call that must fail, and checks the error of section 3.12.
async function refused(operation, method, path, options) {
  const error = await call(operation, method, path, options);
  if (options.want === 401 && !slack) return error; // Atlassian answers 401 in the shape of its gateway
  must(error.schemas?.includes(`${messages}Error`) || error.Errors, `${operation}: error message`, error);
  return error;
}

function isUser(user, want) {
  must(user.schemas?.includes(`${core}User`), "schemas of a user", user);
  must(typeof user.id === "string" && user.id !== "", "id", user);
  must(user.meta?.location?.endsWith(`/Users/${user.id}`) && /^user$/i.test(user.meta.resourceType ?? "User"), "meta", user);
  for (const [name, value] of Object.entries(want)) {
    must(JSON.stringify(user[name]) === JSON.stringify(value), `attribute ${name}, want ${JSON.stringify(value)}`, user);
  }
  return user;
}

function isGroup(group, name, members) {
  must(group.schemas?.includes(`${core}Group`) && typeof group.id === "string" && group.displayName === name, "group", group);
  const ids = (group.members ?? []).map((m) => m.value).sort();
  must(JSON.stringify(ids) === JSON.stringify([...members].sort()), `members, want ${members}`, group);
  return group;
}

// list reads every page of section 3.4.2.4 and checks that they fit together.
async function list(operation, path, count) {
  const seen = [];
  let pages = 0;
  for (let startIndex = 1; ; ) {
    const page = await call(operation, "GET", `${path}?startIndex=${startIndex}&count=${count}`);
    must(page.schemas?.includes(`${messages}ListResponse`) && page.startIndex === startIndex, "ListResponse", page);
    const found = page.Resources ?? [];
    must(found.length === page.itemsPerPage && found.length <= count, "itemsPerPage", page);
    seen.push(...found);
    pages++;
    if (seen.length >= page.totalResults) {
      must(seen.length === page.totalResults && new Set(seen.map((r) => r.id)).size === seen.length, "pages overlap", page.totalResults);
      return { seen, pages };
    }
    must(found.length > 0 && pages < 100, "a page before the end is empty", page);
    startIndex += found.length;
  }
}

const person = (n) => ({
  schemas: [`${core}User`],
  externalId: `rfc-${n}`,
  userName: `rfc.person${n}`,
  name: { familyName: "見本", givenName: `${n}郎` },
  displayName: `見本 ${n}郎`,
  title: "係長",
  emails: [{ value: `rfc.person${n}@${mail}`, type: "work", primary: true }],
  active: true,
});
const plain = (n) => ({ externalId: `rfc-${n}`, userName: `rfc.person${n}`, displayName: `見本 ${n}郎`, title: "係長", active: true });
const patch = (...Operations) => ({ schemas: [`${messages}PatchOp`], Operations });

// Section 4: what the server says that it can do.
const provider = await call("GET /ServiceProviderConfig", "GET", "/ServiceProviderConfig");
must(provider.patch?.supported === true && provider.authenticationSchemes?.length > 0, "ServiceProviderConfig", provider);
const types = (await call("GET /ResourceTypes", "GET", "/ResourceTypes")).Resources.map((r) => r.endpoint.replace(/^\//, ""));
must(types.includes("Users") && types.includes("Groups"), "ResourceTypes", types);
const schemas = (await call("GET /Schemas", "GET", "/Schemas")).Resources.map((s) => s.id);
must(schemas.some((id) => id.endsWith("User")) && schemas.some((id) => id.endsWith("Group")), "Schemas", schemas);

// Section 3.3 and 3.4.1.
const people = [];
for (let n = 1; n <= 5; n++) people.push(isUser(await call("POST /Users", "POST", "/Users", { body: person(n), want: 201 }), plain(n)));
isUser(await call("GET /Users/{id}", "GET", `/Users/${people[0].id}`), { id: people[0].id, ...plain(1) });
const conflict = await refused("POST /Users that exists", "POST", "/Users", { body: person(1), want: 409 });
await refused("GET /Users/{id} of nobody", "GET", "/Users/nobody", { want: 404 });
await refused("a wrong token", "GET", "/Users", { want: 401, as: "wrong" });

// Section 3.4.2: pages, and filters where the vendor has them.
const all = await list("GET /Users in pages", "/Users", 2);
for (const p of people) must(all.seen.some((s) => s.id === p.id), "listed", p.id);
if (!slack) {
  const found = await call("GET /Users by filter", "GET", `/Users?filter=${encodeURIComponent('userName eq "rfc.person3"')}`);
  must(found.totalResults === 1 && found.Resources[0].id === people[2].id, "filter", found);
}

// Section 3.5.1: PUT replaces, what isn't given is cleared.
const replacement = { ...person(2), id: people[1].id, displayName: "改姓 2郎", name: { familyName: "改姓", givenName: "2郎" } };
delete replacement.title;
const replaced = isUser(await call("PUT /Users/{id}", "PUT", `/Users/${people[1].id}`, { body: replacement }), { id: people[1].id, displayName: "改姓 2郎" });
must(!replaced.title, "PUT clears what isn't given", replaced);

// Section 3.5.2: PATCH.
const answer = await call("PATCH /Users/{id}", "PATCH", `/Users/${people[2].id}`, {
  body: patch({ op: "replace", path: "title", value: "課長" }, { op: "replace", path: "active", value: false }),
});
isUser(answer, { title: "課長", active: false });

// Groups: sections 3.3, 3.5.2.1 (add), 3.5.2.2 (remove), 3.5.2.3 (replace), 3.6.
const group = await call("POST /Groups", "POST", "/Groups", { body: { schemas: [`${core}Group`], displayName: "RFC 7644 見本" }, want: 201 });
isGroup(group, "RFC 7644 見本", []);
const change = (operation, ...ops) => call(operation, "PATCH", `/Groups/${group.id}`, { body: patch(...ops), want: [200, 204] });
const members = async (...ids) => isGroup(await call("GET /Groups/{id}", "GET", `/Groups/${group.id}`), "RFC 7644 見本", ids);
const [a, b, , d, e] = people.map((p) => p.id);
await change("PATCH /Groups/{id}, add", { op: "add", path: "members", value: [{ value: a }, { value: b }, { value: d }] });
await members(a, b, d);
// The RFC's own example filters `members[value eq "..."]`; Slack documents the value without quotes.
const one = slack ? { op: "remove", path: `members[value eq ${b}]` } : { op: "remove", path: "members", value: [{ value: b }] };
await change("PATCH /Groups/{id}, remove one", one);
await members(a, d);
await refused("PATCH /Groups/{id}, an unknown member", "PATCH", `/Groups/${group.id}`, {
  body: patch({ op: "add", path: "members", value: [{ value: "nobody" }] }),
  want: [400, 404],
});
await change("PATCH /Groups/{id}, add again", { op: "add", path: "members", value: [{ value: e }] });
await members(a, d, e);
const groups = await list("GET /Groups in pages", "/Groups", 1);
must(groups.seen.some((g) => g.id === group.id), "listed", group.id);
await refused("POST /Groups that exists", "POST", "/Groups", { body: { schemas: [`${core}Group`], displayName: "RFC 7644 見本" }, want: 409 });

// Section 3.6.
await call("DELETE /Users/{id}", "DELETE", `/Users/${e}`, { want: [200, 204] });
await members(a, d);
const second = await call("POST /Groups", "POST", "/Groups", { body: { schemas: [`${core}Group`], displayName: "RFC 7644 第二" }, want: 201 });
await call("DELETE /Groups/{id}", "DELETE", `/Groups/${second.id}`, { want: 204 });
await refused("GET /Groups/{id} of none", "GET", `/Groups/${second.id}`, { want: 404 });

console.log(JSON.stringify({
  people: people.map((p) => p.id),
  group: group.id,
  members: [a, d],
  userPages: all.pages,
  groupPages: groups.pages,
  conflict: conflict.scimType ?? conflict.Errors?.code ?? "",
  operations: [...operations].sort(),
}));
