// A strict SCIM 2.0 service provider that is not ours: scimmy-routers over a store in memory, on a free port of loopback.
// SCIM_TOKEN is the bearer token. The first line of standard output is {"url": "..."}; it ends when standard input closes.
// GET /_state (no SCIM, same token) tells what is really stored and which requests came.
import { randomUUID } from "node:crypto";
import process from "node:process";
import express from "express";
import SCIMMY from "scimmy";
import SCIMMYRouters from "scimmy-routers";

const token = process.env.SCIM_TOKEN;
if (!token) {
  console.error("scimmy-server: SCIM_TOKEN is empty");
  process.exit(2);
}

const users = new Map();
const groups = new Map();
const requests = [];

const authorize = (request) => {
  if (request.header("Authorization") !== `Bearer ${token}`) throw new Error("wrong or missing bearer token");
  return "interop";
};
const plain = (resource) => JSON.parse(JSON.stringify(resource));
const sameText = (a, b) => String(a ?? "").toLowerCase() === String(b ?? "").toLowerCase();

// store keeps what a POST or PUT brought, after the checks that a service provider makes across resources.
function store(resources, unique, resource, data) {
  const wanted = plain(data);
  for (const [id, other] of resources) {
    if (id !== resource.id && sameText(other[unique], wanted[unique])) {
      throw new SCIMMY.Types.Error(409, "uniqueness", `${unique} is taken by ${id}`);
    }
  }
  const known = resource.id ? resources.get(resource.id) : undefined;
  if (resource.id && !known) throw new SCIMMY.Types.Error(404, null, `no resource ${resource.id}`);
  const now = new Date().toISOString();
  const kept = {
    ...wanted,
    id: known?.id ?? randomUUID(),
    meta: { created: known?.meta.created ?? now, lastModified: now },
  };
  resources.set(kept.id, kept);
  return kept;
}

function read(resources, resource) {
  if (resource.id) {
    const found = resources.get(resource.id);
    if (!found) throw new SCIMMY.Types.Error(404, null, `no resource ${resource.id}`);
    return found;
  }
  const all = [...resources.values()];
  return resource.filter ? resource.filter.match(all) : all;
}

function remove(resources, resource) {
  if (!resources.delete(resource.id)) throw new SCIMMY.Types.Error(404, null, `no resource ${resource.id}`);
}

SCIMMY.Resources.declare(SCIMMY.Resources.User.extend(SCIMMY.Schemas.EnterpriseUser, false), {
  ingress: (resource, data) => store(users, "userName", resource, data),
  egress: (resource) => read(users, resource),
  degress: (resource) => remove(users, resource),
});
SCIMMY.Resources.declare(SCIMMY.Resources.Group, {
  ingress: (resource, data) => {
    const members = new Map();
    for (const member of plain(data).members ?? []) {
      if (!users.has(member.value)) throw new SCIMMY.Types.Error(400, "invalidValue", `no user ${member.value}`);
      members.set(member.value, member); // scimmy's "add" appends what is in already; a group is a set
    }
    return store(groups, "displayName", resource, { ...plain(data), members: [...members.values()] });
  },
  egress: (resource) => read(groups, resource),
  degress: (resource) => remove(groups, resource),
});

const app = express();
app.disable("x-powered-by");
app.get("/_state", (request, response) => {
  try {
    authorize(request);
  } catch {
    response.status(401).end();
    return;
  }
  response.json({ users: [...users.values()], groups: [...groups.values()], requests });
});
app.use((request, _response, next) => {
  requests.push(`${request.method} ${request.path}`);
  // Express 5 parses the query anew at each access, so that the numbers which scimmy-routers puts into it would be lost.
  Object.defineProperty(request, "query", { value: { ...request.query }, writable: true });
  next();
});
app.use("/scim", new SCIMMYRouters({ type: "bearer", handler: authorize }));

const server = app.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` }));
});
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
