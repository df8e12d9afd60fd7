package testpki

import (
	"bytes"
	"fmt"
	"time"
)

// readme tells what is in the folder and how to verify it, with openssl and with certd.
func (f *folder) readme() []byte {
	var b bytes.Buffer
	gen := f.pki.Newest(AuthTree).Generation
	fmt.Fprintf(&b, `# 試験用の公的個人認証 (TEST) / a test hierarchy of JPKI shape

これは試験用です。鍵は秘密ではありません。名前には JPKI-TEST と TEST が入り、本番のプロファイルはこれを拒みます。
This is for tests. Its keys are no secret. Names say JPKI-TEST and TEST; a production profile refuses all of it.

作成 / made: %s; 失効情報の期限 / lists and answers are fresh until: %s (UTC)

| folder | what |
|---|---|
| anchors/ | the CAs with their keys, each generation; auth.pem and sign.pem have all of a tree. Generations share one name and differ by key |
| cards/ | certificate (.pem), key (.key.pem), and both with the CA as PKCS #12 (.p12, password %q) |
| crls/ | revocation lists (.crl is DER): -all is complete, -NNNNN that of one municipality's partition, -delta follows -all |
| ocsp/ | an OCSP answer about each card (.resp, DER), and the responders' certificates |
| openssl/ | what openssl needs to make lists and answers of this hierarchy itself |
| batch.jsonl | each card twice, with its list and with its answer, for certd |
| manifest.json | each card and what must be said of it |

| card | what | expected |
|---|---|---|
`, f.pki.Now.Format(time.RFC3339), f.Until.Format(time.RFC3339), Password)
	for _, s := range f.Samples {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", s.Name, s.About, s.Expected)
	}
	at := f.pki.Now.Unix()
	fmt.Fprintf(&b, `
## certd

    certd verify --batch < batch.jsonl

## openssl

    # -attime: 作成した時刻として検証する / verify as of the time when it was made
    openssl verify -attime %[1]d -CAfile anchors/auth.pem cards/auth-rsa.pem
    # 市区町村の失効リスト / the municipality's list
    openssl verify -attime %[1]d -CAfile anchors/auth.pem -crl_check -CRLfile crls/auth-%[2]d-99201.pem cards/auth-rsa.pem
    openssl verify -attime %[1]d -CAfile anchors/auth.pem -crl_check -CRLfile crls/auth-%[2]d-99202.pem cards/auth-revoked.pem   # error 23: revoked
    openssl crl -in crls/auth-%[2]d-all.pem -CAfile anchors/auth-%[2]d.pem -noout -text
    # OCSP の応答 / an OCSP answer
    openssl ocsp -respin ocsp/auth-rsa.resp -issuer anchors/auth-%[2]d.pem -cert cards/auth-rsa.pem -CAfile anchors/auth.pem -no_nonce
    openssl pkcs12 -in cards/auth-rsa.p12 -passin pass:%[3]s -info -noout

失効リストと OCSP の応答を openssl で新しく作る / new lists and answers, made by openssl:

    openssl ca -config openssl/openssl.cnf -name auth-%[2]d -gencrl -cert anchors/auth-%[2]d.pem -keyfile anchors/auth-%[2]d.key.pem -out new.crl.pem
    openssl crl -in new.crl.pem -CAfile anchors/auth-%[2]d.pem -noout
    openssl ocsp -issuer anchors/auth-%[2]d.pem -cert cards/auth-rsa.pem -reqout new.req
    openssl ocsp -index openssl/index-auth-%[2]d.txt -CA anchors/auth-%[2]d.pem -rsigner ocsp/responder-auth-%[2]d.pem -rkey ocsp/responder-auth-%[2]d.key.pem -reqin new.req -respout new.resp -ndays 1
    openssl ocsp -respin new.resp -issuer anchors/auth-%[2]d.pem -cert cards/auth-rsa.pem -CAfile anchors/auth.pem -no_nonce
`, at, gen, Password)
	return b.Bytes()
}
