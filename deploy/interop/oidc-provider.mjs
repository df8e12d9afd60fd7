// npm oidc-provider with its in-memory adapter, for a comparison of rates: client credentials with ES256 JWT access tokens. It prints its port
// and keys as one line of JSON when it is ready, and ends with its standard input.
// ISSUER (the name in its tokens), RESOURCE, SCOPE, SECRET (of the client "basic"), JWKS (public keys of the client "assertion").
import { createServer } from 'node:http'
import Provider from 'oidc-provider'

const env = process.env
const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify'])
const key = { ...(await crypto.subtle.exportKey('jwk', pair.privateKey)), kid: 'es', alg: 'ES256', use: 'sig' }
delete key.key_ops
delete key.ext

const client = { id_token_signed_response_alg: 'ES256', grant_types: ['client_credentials'], redirect_uris: [], response_types: [], scope: env.SCOPE }
const provider = new Provider(env.ISSUER, {
  clients: [
    { ...client, client_id: 'basic', client_secret: env.SECRET, token_endpoint_auth_method: 'client_secret_basic' },
    { ...client, client_id: 'assertion', token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', jwks: JSON.parse(env.JWKS) },
  ],
  jwks: { keys: [key] },
  scopes: env.SCOPE.split(' '),
  clientAuthMethods: ['client_secret_basic', 'private_key_jwt'],
  enabledJWA: { clientAuthSigningAlgValues: ['ES256'], idTokenSigningAlgValues: ['ES256'] },
  ttl: { ClientCredentials: 300 },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => env.RESOURCE,
      getResourceServerInfo: () => ({ scope: env.SCOPE, audience: env.RESOURCE, accessTokenTTL: 300, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } }),
    },
  },
})
provider.proxy = true // its requests carry the issuer's host

const server = createServer(provider.callback())
server.listen(0, '127.0.0.1', () => {
  const { kty, crv, x, y } = key
  console.log(JSON.stringify({ port: server.address().port, keys: [{ kty, crv, x, y, kid: key.kid, alg: key.alg }] }))
})
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
