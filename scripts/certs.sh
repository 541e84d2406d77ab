#!/bin/sh
# certs.sh: makes the certificates in python/tests/certs anew, with the openssl program.
#
# They are valid from 2020 to 2120, so that no clock of a test machine matters. Each file holds a
# key and its certificate; ca.pem has the certificate only, for its key is thrown away.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
certs=$here/python/tests/certs
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat > ca.conf <<'END'
[ca]
default_ca = own
[own]
dir = .
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
default_startdate = 20200101000000Z
default_enddate = 21200101000000Z
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
END
: > index.txt
echo 01 > serial

new_key() {
    openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
    openssl req -new -config ca.conf -key "$1.key" -subj "/CN=$2" -out "$1.csr" ${3+-addext "$3"}
}


new_key ca "batonloop test authority"
openssl ca -config ca.conf -batch -notext -selfsign -extensions authority \
    -keyfile ca.key -in ca.csr -out ca.crt 2> /dev/null
cp ca.crt "$certs/ca.pem"
for entry in "localhost DNS:localhost,IP:127.0.0.1" "other DNS:other.test" \
    "client email:client@test"; do
    name=${entry%% *}
    new_key "$name" "$name" "subjectAltName=${entry#* }"
    openssl ca -config ca.conf -batch -notext -keyfile ca.key -cert ca.crt \
        -in "$name.csr" -out "$name.crt" 2> /dev/null
    cat "$name.key" "$name.crt" > "$certs/$name.pem"
done
# Signed by nobody but itself.
new_key stranger localhost "subjectAltName=DNS:localhost,IP:127.0.0.1"
openssl ca -config ca.conf -batch -notext -selfsign \
    -keyfile stranger.key -in stranger.csr -out stranger.crt 2> /dev/null
cat stranger.key stranger.crt > "$certs/stranger.pem"
