// A service provider on node-saml, with all of its checks on: logs in at Musubi's SAML identity provider and prints what it saw as one line of JSON.
// ENTRY, IDP (entity id), CERT (PEM file), ISSUER, ACS, KEY and PUBLIC (PEM files of its own), BINDING. Logging in is the provider's affair: here
// its test logs a person in at once, and answers with the form as JSON.
import { readFileSync } from 'node:fs'
import { SAML } from '@node-saml/node-saml'

const env = process.env
const key = readFileSync(env.KEY, 'utf8')
const options = {
  entryPoint: env.ENTRY, issuer: env.ISSUER, callbackUrl: env.ACS, audience: env.ISSUER, idpIssuer: env.IDP, idpCert: readFileSync(env.CERT, 'utf8'),
  privateKey: key, publicCert: readFileSync(env.PUBLIC, 'utf8'), signatureAlgorithm: 'sha256', digestAlgorithm: 'sha256', decryptionPvk: key,
  validateInResponseTo: 'always', wantAuthnResponseSigned: true, wantAssertionsSigned: true, acceptedClockSkewMs: 0, disableRequestedAuthnContext: true,
  identifierFormat: 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent', authnRequestBinding: env.BINDING,
  skipRequestCompression: env.BINDING === 'HTTP-POST', // it would deflate what is posted, too, against the binding
}

// send asks for a login and gives the form of the answer.
async function send(saml) {
  if (env.BINDING !== 'HTTP-POST') return (await fetch(await saml.getAuthorizeUrlAsync('state', undefined, {}))).json()
  const body = new URLSearchParams(await saml.getAuthorizeMessageAsync('state'))
  return (await fetch(env.ENTRY, { method: 'POST', body })).json()
}

const refused = (saml, form) => saml.validatePostResponseAsync(form).then(() => 'taken', (e) => e.message)

const out = {}
try {
  const saml = new SAML(options)
  const { to, form } = await send(saml)
  out.to = to
  out.relay = form.RelayState
  const { profile } = await saml.validatePostResponseAsync(form)
  out.nameID = profile.nameID
  out.format = profile.nameIDFormat
  out.qualifier = profile.spNameQualifier
  out.index = profile.sessionIndex
  out.mail = profile.mail
  out.name = profile.displayName
  out.again = await refused(saml, form) // the request is answered

  // It checks what it says that it checks.
  const second = (await send(saml)).form
  const text = Buffer.from(second.SAMLResponse, 'base64').toString()
  out.changed = await refused(saml, { SAMLResponse: Buffer.from(text.replace('Destination="https', 'Destination="httpz')).toString('base64') })
  out.elsewhere = await refused(new SAML({ ...options, audience: 'https://other.example', validateInResponseTo: 'never' }), second)
  // A request that can't be had: a password, exactly.
  const stubborn = new SAML({ ...options, disableRequestedAuthnContext: false })
  out.password = await refused(stubborn, (await send(stubborn)).form)
} catch (e) {
  out.failed = e.stack
}
console.log(JSON.stringify(out))
