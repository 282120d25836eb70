#include "tests/support/test_certificates.h"

#include <cstdio>
#include <cstdlib>
#include <ctime>

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

namespace millrace::test {
namespace {

// A test without its certificates cannot go on.
void must(bool good) {
  if (good) return;
  ERR_print_errors_fp(stderr);
  std::abort();
}

using Key = std::shared_ptr<EVP_PKEY>;
using Certificate = std::shared_ptr<X509>;
using Bio = std::unique_ptr<BIO, decltype([](BIO* bio) { BIO_free(bio); })>;

Bio empty() { return Bio(BIO_new(BIO_s_mem())); }
Bio holding(const std::string& text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }
std::string text_in(const Bio& bio) {
  const char* bytes = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &bytes);
  return {bytes, static_cast<std::size_t>(size)};
}

Key make_key(KeyKind kind) {
  const auto rsa = [](unsigned bits) { return EVP_RSA_gen(bits); };
  EVP_PKEY* key = nullptr;
  switch (kind) {
    case KeyKind::kP256: key = EVP_EC_gen("P-256"); break;
    case KeyKind::kP384: key = EVP_EC_gen("P-384"); break;
    case KeyKind::kSecp256k1: key = EVP_EC_gen("secp256k1"); break;
    case KeyKind::kRsa2048: key = rsa(2048); break;
    case KeyKind::kRsa1024: key = rsa(1024); break;
  }
  must(key != nullptr);
  return {key, EVP_PKEY_free};
}

Certificate read_certificate(const std::string& pem) {
  X509* certificate = PEM_read_bio_X509(holding(pem).get(), nullptr, nullptr, nullptr);
  must(certificate != nullptr);
  return {certificate, X509_free};
}

Key read_key(const std::string& pem) {
  EVP_PKEY* key = PEM_read_bio_PrivateKey(holding(pem).get(), nullptr, nullptr, nullptr);
  must(key != nullptr);
  return {key, EVP_PKEY_free};
}

std::string to_pem(X509* certificate) {
  const Bio out = empty();
  must(PEM_write_bio_X509(out.get(), certificate) == 1);
  return text_in(out);
}

std::string to_pem(EVP_PKEY* key) {
  const Bio out = empty();
  must(PEM_write_bio_PKCS8PrivateKey(out.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return text_in(out);
}

void add_extension(X509* to, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, to, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  must(extension != nullptr && X509_add_ext(to, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

Certificate make_certificate(const std::string& name, EVP_PKEY* key, X509* issuer, std::int64_t not_before,
                             std::int64_t not_after) {
  const Certificate made(X509_new(), X509_free);
  X509* certificate = made.get();
  must(X509_set_version(certificate, X509_VERSION_3) == 1 && X509_set_pubkey(certificate, key) == 1);
  std::uint8_t serial[8];
  must(RAND_bytes(serial, sizeof(serial)) == 1);
  serial[0] = static_cast<std::uint8_t>((serial[0] & 0x3f) | 0x40);  // positive, and always of eight bytes
  BIGNUM* number = BN_bin2bn(serial, sizeof(serial), nullptr);
  must(BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nullptr);
  BN_free(number);
  X509_gmtime_adj(X509_getm_notBefore(certificate), not_before);
  X509_gmtime_adj(X509_getm_notAfter(certificate), not_after);
  X509_NAME* subject = X509_get_subject_name(certificate);
  const auto* text = reinterpret_cast<const unsigned char*>(name.c_str());
  must(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, text, -1, -1, 0) == 1);
  must(X509_set_issuer_name(certificate, X509_get_subject_name(issuer == nullptr ? certificate : issuer)) == 1);
  return made;
}

}  // namespace

Authority::Authority(const std::string& name, const Authority* issuer) : key_(make_key(KeyKind::kP256)) {
  X509* signer = issuer == nullptr ? nullptr : issuer->certificate_.get();
  certificate_ = make_certificate(name, key_.get(), signer, -7200, 10 * 86'400);
  X509* self = certificate_.get();
  if (signer == nullptr) signer = self;
  add_extension(self, signer, NID_basic_constraints, "critical,CA:TRUE");
  add_extension(self, signer, NID_key_usage, "critical,keyCertSign,cRLSign,digitalSignature");
  add_extension(self, signer, NID_subject_key_identifier, "hash");
  must(X509_sign(self, issuer == nullptr ? key_.get() : issuer->key_.get(), EVP_sha256()) > 0);
  pem_ = to_pem(self);
}

Issued Authority::issue(const CertificateSpec& spec) const {
  const Key key = make_key(spec.key);
  const Certificate made = make_certificate(spec.common_name, key.get(), certificate_.get(), spec.not_before, spec.not_after);
  std::string names;
  for (const std::string& name : spec.names) names += (names.empty() ? "" : ",") + name;
  if (!names.empty()) add_extension(made.get(), certificate_.get(), NID_subject_alt_name, names);
  if (spec.must_staple) add_extension(made.get(), certificate_.get(), NID_tlsfeature, "status_request");
  if (!spec.extended_key_usage.empty()) add_extension(made.get(), certificate_.get(), NID_ext_key_usage, spec.extended_key_usage);
  must(X509_sign(made.get(), key_.get(), spec.sha1 ? EVP_sha1() : EVP_sha256()) > 0);
  return {to_pem(made.get()), to_pem(key.get())};
}

std::string Authority::revocation_list(std::span<const std::string> certificates) const {
  const std::unique_ptr<X509_CRL, decltype([](X509_CRL* crl) { X509_CRL_free(crl); })> list(X509_CRL_new());
  must(X509_CRL_set_version(list.get(), X509_CRL_VERSION_2) == 1);
  must(X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(certificate_.get())) == 1);
  const std::unique_ptr<ASN1_TIME, decltype([](ASN1_TIME* time) { ASN1_TIME_free(time); })> time(ASN1_TIME_new());
  X509_gmtime_adj(time.get(), -60);
  X509_CRL_set1_lastUpdate(list.get(), time.get());
  for (const std::string& pem : certificates) {
    X509_REVOKED* revoked = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(read_certificate(pem).get()));
    X509_REVOKED_set_revocationDate(revoked, time.get());
    must(X509_CRL_add0_revoked(list.get(), revoked) == 1);
  }
  X509_gmtime_adj(time.get(), 86'400);
  X509_CRL_set1_nextUpdate(list.get(), time.get());
  must(X509_CRL_sign(list.get(), key_.get(), EVP_sha256()) > 0);
  const Bio out = empty();
  must(PEM_write_bio_X509_CRL(out.get(), list.get()) == 1);
  return text_in(out);
}

std::string Authority::ocsp_response(const std::string& certificate, std::int64_t next_update) const {
  const std::unique_ptr<OCSP_BASICRESP, decltype([](OCSP_BASICRESP* basic) { OCSP_BASICRESP_free(basic); })> basic(
      OCSP_BASICRESP_new());
  OCSP_CERTID* id = OCSP_cert_to_id(EVP_sha1(), read_certificate(certificate).get(), certificate_.get());
  ASN1_TIME* this_time = X509_gmtime_adj(nullptr, -86'400);
  ASN1_TIME* next_time = X509_gmtime_adj(nullptr, next_update);
  must(OCSP_basic_add1_status(basic.get(), id, V_OCSP_CERTSTATUS_GOOD, 0, nullptr, this_time, next_time) != nullptr);
  must(OCSP_basic_sign(basic.get(), certificate_.get(), key_.get(), EVP_sha256(), nullptr, 0) == 1);
  OCSP_RESPONSE* response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic.get());
  unsigned char* der = nullptr;
  const int size = i2d_OCSP_RESPONSE(response, &der);
  must(size > 0);
  std::string text(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  OCSP_RESPONSE_free(response);
  OCSP_CERTID_free(id);
  ASN1_TIME_free(this_time);
  ASN1_TIME_free(next_time);
  return text;
}

std::string encrypted(const std::string& key, const std::string& password) {
  const Bio out = empty();
  must(PEM_write_bio_PKCS8PrivateKey(out.get(), read_key(key).get(), EVP_aes_256_cbc(), password.data(),
                                     static_cast<int>(password.size()), nullptr, nullptr) == 1);
  return text_in(out);
}

std::string pkcs12(const Issued& issued, const std::string& chain, const std::string& password) {
  STACK_OF(X509)* others = sk_X509_new_null();
  if (!chain.empty()) must(X509_add_cert(others, read_certificate(chain).get(), X509_ADD_FLAG_UP_REF) == 1);
  PKCS12* container = PKCS12_create(password.c_str(), "leaf", read_key(issued.key).get(),
                                    read_certificate(issued.certificate).get(), others, 0, 0, 0, 0, 0);
  const Bio out = empty();
  must(container != nullptr && i2d_PKCS12_bio(out.get(), container) == 1);
  PKCS12_free(container);
  sk_X509_pop_free(others, X509_free);
  return text_in(out);
}

std::array<std::uint8_t, 32> fingerprint(const std::string& certificate) {
  std::array<std::uint8_t, 32> hash{};
  must(X509_digest(read_certificate(certificate).get(), EVP_sha256(), hash.data(), nullptr) == 1);
  return hash;
}

std::array<std::uint8_t, 32> public_key_hash(const std::string& certificate) {
  std::array<std::uint8_t, 32> hash{};
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(X509_get0_pubkey(read_certificate(certificate).get()), &der);
  must(size > 0 && EVP_Digest(der, static_cast<std::size_t>(size), hash.data(), nullptr, EVP_sha256(), nullptr) == 1);
  OPENSSL_free(der);
  return hash;
}

}  // namespace millrace::test
