// A relying party on openid-client: goes through everything that Musubi's OpenID provider offers and prints what it saw as one line of JSON.
// ISSUER, CLIENT (id), KEY (private JWK) or SECRET, CALLBACK, BYE. Logging in is the provider's affair: its test logs a person in at once, or, with HUB,
// hub-browser.mjs plays a person with a card.
// With LOGOUT_TOKEN it only verifies that token, as OpenID Connect Back-Channel Logout 1.0, section 2.6, says. With RESOURCE it acts in its own
// name: client credentials, whose access token it verifies as a resource does (RFC 9068, section 4), introspects and revokes.
import * as client from 'openid-client'
import { createRemoteJWKSet, jwtVerify } from 'jose'

const env = process.env
const issuer = new URL(env.ISSUER)

const browser = env.HUB && !env.LOGOUT_TOKEN && !env.RESOURCE ? await import('./hub-browser.mjs') : undefined
const browse = browser?.browse ?? straight

async function straight(url) {
  const answer = await fetch(url, { redirect: 'manual' })
  const location = answer.headers.get('location')
  if (!location) throw new Error(`${url.pathname} answered ${answer.status}: ${await answer.text()}`)
  return new URL(location)
}

async function authentication() {
  if (env.SECRET) return client.ClientSecretBasic(env.SECRET)
  const jwk = JSON.parse(env.KEY)
  const key = await crypto.subtle.importKey('jwk', jwk, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
  return client.PrivateKeyJwt({ key, kid: jwk.kid })
}

async function flow() {
  const out = {}
  const metadata = { id_token_signed_response_alg: env.ALG, require_pushed_authorization_requests: env.PAR === 'yes' }
  const config = await client.discovery(issuer, env.CLIENT, metadata, await authentication())
  const verifier = client.randomPKCECodeVerifier()
  const parameters = {
    redirect_uri: env.CALLBACK, scope: 'openid profile email', state: client.randomState(), nonce: client.randomNonce(),
    code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', max_age: '600',
  }
  const to = env.PAR === 'yes' ? await client.buildAuthorizationUrlWithPAR(config, parameters) : client.buildAuthorizationUrl(config, parameters)
  out.pushed = to.searchParams.get('request_uri')?.startsWith('urn:ietf:params:oauth:request_uri:') ?? false
  const back = await browse(to)
  out.iss = back.searchParams.get('iss')
  const checks = { pkceCodeVerifier: verifier, expectedState: parameters.state, expectedNonce: parameters.nonce, maxAge: 600, idTokenExpected: true }
  const tokens = await client.authorizationCodeGrant(config, back, checks)
  const claims = tokens.claims()
  out.sub = claims.sub
  out.acr = claims.acr
  out.amr = claims.amr
  out.userinfo = await client.fetchUserInfo(config, tokens.access_token, claims.sub)
  out.active = (await client.tokenIntrospection(config, tokens.access_token)).active

  const renewed = await client.refreshTokenGrant(config, tokens.refresh_token)
  out.rotated = renewed.refresh_token !== tokens.refresh_token
  out.sameSubject = renewed.claims().sub === claims.sub
  await client.tokenRevocation(config, renewed.access_token)
  out.revoked = !(await client.tokenIntrospection(config, renewed.access_token)).active

  // Another's answer, as a mix-up attack would bring it: the library refuses what doesn't name the issuer.
  const mixed = await browse(client.buildAuthorizationUrl(config, { ...parameters, prompt: 'none', nonce: parameters.nonce, state: parameters.state })).catch((e) => e)
  if (mixed instanceof URL && env.PAR !== 'yes') {
    mixed.searchParams.set('iss', 'https://evil.example')
    out.mixup = await client.authorizationCodeGrant(config, mixed, checks).then(() => 'taken', (e) => e.code)
  }
  // The used refresh token again: the family ends.
  out.reuse = await client.refreshTokenGrant(config, tokens.refresh_token).then(() => 'taken', (e) => e.error)
  out.family = await client.refreshTokenGrant(config, renewed.refresh_token).then(() => 'lives', (e) => e.error)

  const end = client.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: env.BYE, state: 'good bye' })
  const bye = await browse(end)
  out.bye = bye.href
  if (browser) out.pages = browser.pages
  return out
}

async function credentials() {
  const config = await client.discovery(issuer, env.CLIENT, {}, await authentication())
  const keys = createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri))
  const tokens = await client.clientCredentialsGrant(config, { resource: env.RESOURCE, scope: 'records:read' })
  const checks = { issuer: env.ISSUER, audience: env.RESOURCE, typ: 'at+jwt', algorithms: [env.ALG], requiredClaims: ['exp', 'sub', 'client_id', 'iat', 'jti', 'scope'] }
  const { payload } = await jwtVerify(tokens.access_token, keys, checks)
  const out = {
    grants: config.serverMetadata().grant_types_supported, type: tokens.token_type, expires: tokens.expires_in, others: 'refresh_token' in tokens || 'id_token' in tokens,
    sub: payload.sub, client: payload.client_id, scope: payload.scope,
  }
  out.elsewhere = await jwtVerify(tokens.access_token, keys, { ...checks, audience: 'https://other.example/' }).then(() => 'taken', (e) => e.code)
  const asked = await client.tokenIntrospection(config, tokens.access_token)
  out.active = asked.active && asked.aud === env.RESOURCE && asked.jti === payload.jti
  await client.tokenRevocation(config, tokens.access_token)
  out.revoked = !(await client.tokenIntrospection(config, tokens.access_token)).active
  out.target = await client.clientCredentialsGrant(config, { resource: env.RESOURCE + '/' }).then(() => 'taken', (e) => e.error)
  out.openid = await client.clientCredentialsGrant(config, { scope: 'openid' }).then(() => 'taken', (e) => e.error)
  return out
}

async function verifyLogout() {
  const config = await client.discovery(issuer, env.CLIENT)
  const keys = createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri))
  const { payload, protectedHeader } = await jwtVerify(env.LOGOUT_TOKEN, keys, { issuer: env.ISSUER, audience: env.CLIENT, typ: 'logout+jwt', requiredClaims: ['iat', 'exp', 'jti', 'sub', 'sid'] })
  return { sub: payload.sub, events: payload.events, nonce: 'nonce' in payload, alg: protectedHeader.alg }
}

try {
  console.log(JSON.stringify(await (env.LOGOUT_TOKEN ? verifyLogout() : env.RESOURCE ? credentials() : flow())))
} catch (error) {
  console.log(JSON.stringify({ failed: `${error.code ?? ''} ${error.message}`, cause: String(error.cause?.message ?? JSON.stringify(error.cause) ?? '') }))
  process.exitCode = 1
} finally {
  await browser?.close()
}
