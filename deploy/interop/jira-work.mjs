// Works with requests through jira.js, which checks each answer against its schemas, and prints what it did and read as one line of
// JSON. A mismatch is an error. JIRA_URL, JIRA_EMAIL, JIRA_TOKEN say where and as whom; REPORTER is the account id of a customer, KEY
// names a request that another client made.
import process from "node:process";
import { createCloudClient, createServiceDeskClient } from "jira.js";

const { JIRA_URL: host, JIRA_EMAIL: email, JIRA_TOKEN: apiToken, REPORTER: reporter, KEY: theirs } = process.env;
if (!host || !email || !apiToken || !reporter || !theirs) {
  console.error("jira-work: JIRA_URL, JIRA_EMAIL, JIRA_TOKEN, REPORTER and KEY are needed");
  process.exit(2);
}
const config = { host, auth: { type: "basic", email, apiToken }, onSchemaMismatch: "throw" };
const jira = createCloudClient(config);
const desk = createServiceDeskClient(config);

const types = await desk.servicedesk.getRequestTypes({ serviceDeskId: "1" });
const fields = await desk.servicedesk.getRequestTypeFields({ serviceDeskId: "1", requestTypeId: types.values[0].id });
const made = await desk.request.createCustomerRequest({
  serviceDeskId: "1",
  requestTypeId: types.values[0].id,
  raiseOnBehalfOf: reporter,
  requestFieldValues: { summary: "jira.js から", description: "本文" },
});
const issueIdOrKey = made.issueKey;
await desk.request.createRequestComment({ issueIdOrKey, body: "公開", public: true });
await desk.request.createRequestComment({ issueIdOrKey, body: "内部", public: false });
await desk.request.addRequestParticipants({ issueIdOrKey: theirs, accountIds: [reporter] });
const { transitions } = await jira.issues.getTransitions({ issueIdOrKey });
await jira.issues.doTransition({ issueIdOrKey, transition: { id: transitions[0].id } });
const comments = await desk.request.getRequestComments({ issueIdOrKey });
const sla = await desk.request.getSlaInformation({ issueIdOrKey });
const status = await desk.request.getCustomerRequestStatus({ issueIdOrKey });
const participants = await desk.request.getRequestParticipants({ issueIdOrKey: theirs });
const issue = await jira.issues.getIssue({ issueIdOrKey });
const other = await jira.issues.getIssue({ issueIdOrKey: theirs });
const platformComments = await jira.issueComments.getComments({ issueIdOrKey: theirs, expand: "properties" });
const found = await jira.issueSearch.searchAndReconsileIssuesUsingJqlPost({
  jql: "project = HELP order by created asc",
  fields: ["summary"],
  reconcileIssues: [Number(issue.id), Number(other.id)],
});
const unbounded = await jira.issueSearch
  .searchAndReconsileIssuesUsingJqlPost({ jql: "order by created" })
  .then(() => 200, (error) => error.status ?? error.response?.status ?? error.cause?.status ?? String(error));

console.log(
  JSON.stringify({
    fields: fields.requestTypeFields.map((field) => field.fieldId),
    key: made.issueKey,
    comments: comments.values.map((comment) => ({ body: comment.body, public: comment.public })),
    running: sla.values.filter((metric) => metric.ongoingCycle?.breachTime?.epochMillis > 0).map((metric) => metric.name),
    status: status.values.map((value) => value.status),
    participants: participants.values.map((user) => user.accountId),
    issueStatus: issue.fields.status.name,
    theirSummary: other.fields.summary,
    theirComments: platformComments.comments.map((comment) => ({ public: comment.jsdPublic, properties: comment.properties.map((property) => property.key) })),
    found: found.issues.map((hit) => hit.key),
    unbounded,
  }),
);
