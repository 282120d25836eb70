// Takes the place of the library behind tls/context.h: looks at PEM, key, times and names of ciphers, and shakes no hands.
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <utility>

#include "tls/context.h"

namespace millrace::tls {

struct Context::Impl {
  Role role = Role::kServer;
  std::vector<CertificateFacts> certificates;
  std::vector<CertificateFacts> authorities;
};

namespace {

using Part = ContextError::Part;

Error<ContextError> wrong(Part part, std::size_t index, std::string text) {
  ERR_clear_error();
  return Error<ContextError>({part, index, std::move(text)});
}

std::int64_t to_seconds(const ASN1_TIME* time) {
  std::tm parts{};
  ASN1_TIME_to_tm(time, &parts);
  return timegm(&parts);
}

CertificateFacts facts_of(X509* certificate) {
  CertificateFacts facts;
  facts.not_before = to_seconds(X509_get0_notBefore(certificate));
  facts.not_after = to_seconds(X509_get0_notAfter(certificate));
  BIGNUM* serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr);
  char* text = BN_bn2hex(serial);
  facts.serial = text;
  OPENSSL_free(text);
  BN_free(serial);
  char subject[256];
  facts.subject = X509_NAME_oneline(X509_get_subject_name(certificate), subject, sizeof subject);
  auto* names = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_DNS && name->type != GEN_URI) continue;
    facts.names.push_back({name->type == GEN_DNS ? NameKind::kDns : NameKind::kUri,
                           reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.ia5))});
  }
  GENERAL_NAMES_free(names);
  return facts;
}

X509* parse(const std::string& pem) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509* certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  return certificate;
}

bool key_fits(X509* certificate, const std::string& pem) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  const bool fits = key != nullptr && X509_check_private_key(certificate, key) == 1;
  EVP_PKEY_free(key);
  return fits;
}

bool knows_ciphers(const std::string& ciphers) {
  SSL_CTX* context = SSL_CTX_new(TLS_method());
  const bool known = ciphers.empty() || SSL_CTX_set_cipher_list(context, ciphers.c_str()) == 1;
  SSL_CTX_free(context);
  return known;
}

}  // namespace

Result<std::shared_ptr<const Context>, ContextError> Context::make(const ContextConfig& config) {
  auto impl = std::make_unique<Impl>();
  impl->role = config.role;
  for (std::size_t i = 0; i < config.certificates.size(); ++i) {
    X509* leaf = parse(config.certificates[i].chain);
    if (leaf == nullptr) return wrong(Part::kCertificate, i, "is no certificate");
    impl->certificates.push_back(facts_of(leaf));
    const bool fits = key_fits(leaf, config.certificates[i].key);
    X509_free(leaf);
    if (!fits) return wrong(Part::kKey, i, "does not belong to the certificate");
    if (impl->certificates.back().not_after < std::time(nullptr)) return wrong(Part::kCertificate, i, "has expired");
  }
  if (config.validation && !config.validation->trusted_ca.empty()) {
    X509* authority = parse(config.validation->trusted_ca);
    if (authority == nullptr) return wrong(Part::kTrustedCa, 0, "holds no certificate");
    impl->authorities.push_back(facts_of(authority));
    X509_free(authority);
  }
  if (!knows_ciphers(config.ciphers)) return wrong(Part::kCiphers, 0, "\"" + config.ciphers + "\" are not known");
  return std::shared_ptr<const Context>(new Context(std::move(impl)));
}

Context::Context(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Context::~Context() = default;
Role Context::role() const { return impl_->role; }
const std::vector<CertificateFacts>& Context::certificates() const { return impl_->certificates; }
const std::vector<CertificateFacts>& Context::authorities() const { return impl_->authorities; }

}  // namespace millrace::tls
