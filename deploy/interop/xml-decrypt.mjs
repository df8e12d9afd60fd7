// Decrypts the EncryptedData of the XML on standard input with xml-encryption and prints what was in it. KEY is a PEM file. It counts
// CBC as insecure, which it is where nothing around it is signed.
import { readFileSync } from 'node:fs'
import { decrypt } from 'xml-encryption'

const xml = readFileSync(0, 'utf8')
const data = xml.slice(xml.indexOf('<xenc:EncryptedData'), xml.indexOf('</xenc:EncryptedData>') + '</xenc:EncryptedData>'.length)
decrypt(data, { key: readFileSync(process.env.KEY), disallowDecryptionWithInsecureAlgorithm: false, warnInsecureAlgorithm: false }, (err, text) => {
  if (err) throw err
  process.stdout.write(text)
})
