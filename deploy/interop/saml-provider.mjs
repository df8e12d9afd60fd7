// A service provider on node-saml, with all of its checks on: logs in at Musubi's SAML identity provider and prints what it saw as one line of JSON.
// Then it logs out: it asks, another provider of the same session is asked and answers, and it gets its answer.
// ENTRY, SLO, IDP (entity id), CERT (PEM file), ISSUER, ACS, OTHER and OTHER_ACS (the other provider), KEY and PUBLIC (PEM files of its own), BINDING. Logging in is the provider's affair: here
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
  logoutUrl: env.SLO, skipRequestCompression: env.BINDING === 'HTTP-POST', // it would deflate what is posted, too, against the binding
}

const cookies = new Map()
const hub = new URL(env.ENTRY).origin

// follow is a browser at the hub: it keeps cookies and goes where it is sent, until that is elsewhere; then it gives that address. A page that is a
// form comes as JSON.
async function follow(address, init = {}) {
  for (let i = 0; i < 10; i++) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const answer = await fetch(address, { ...init, redirect: 'manual', headers: { cookie } })
    for (const set of answer.headers.getSetCookie()) {
      const [name, value] = set.split(';')[0].split('=')
      cookies.set(name, value)
    }
    const to = answer.headers.get('location')
    if (!to) return answer.json()
    address = new URL(to, address).href
    if (!address.startsWith(hub)) return { to: address }
    init = {}
  }
  throw new Error('it goes in circles')
}

// send asks for a login and gives the form of the answer.
async function send(saml) {
  if (env.BINDING !== 'HTTP-POST') return follow(await saml.getAuthorizeUrlAsync('state', undefined, {}))
  return follow(env.ENTRY, { method: 'POST', body: new URLSearchParams(await saml.getAuthorizeMessageAsync('state')) })
}

// read has a provider check a logout message that came by redirect.
const read = (saml, address) => {
  const query = new URL(address).search.slice(1)
  return saml.validateRedirectAsync(Object.fromEntries(new URLSearchParams(query)), query)
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

  // Out, of both.
  const other = new SAML({ ...options, issuer: env.OTHER, audience: env.OTHER, callbackUrl: env.OTHER_ACS })
  const also = (await other.validatePostResponseAsync((await send(other)).form)).profile
  const deflated = { skipRequestCompression: false } // logout goes by redirect
  const leaving = new SAML({ ...options, ...deflated })
  const told = new SAML({ ...other.options, ...deflated })
  const asked = (await follow(await leaving.getLogoutUrlAsync(profile, 'bye', {}))).to
  const request = await read(told, asked)
  out.told = String(request.loggedOut && request.profile.nameID === also.nameID && request.profile.sessionIndex === also.sessionIndex)
  out.forged = await read(told, asked.replace(/Signature=[^&]{9}/, 'Signature=AAAAAAAAA')).then(() => 'taken', (e) => e.message)
  const back = (await follow(await told.getLogoutResponseUrlAsync(request.profile, '', {}, true))).to
  const answer = await read(leaving, back)
  out.out = String(answer.loggedOut)
  out.bye = new URL(back).searchParams.get('RelayState')
} catch (e) {
  out.failed = e.stack
}
console.log(JSON.stringify(out))
