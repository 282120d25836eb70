#include "tls/openssl/own_certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>

#include "tls/openssl/certificate_reader.h"

namespace millrace::tls {
namespace {

using Part = ContextError::Part;

constexpr int kLeastRsaBits = 2048;

Error<ContextError> refuse(Part part, std::string text) {
  return Error<ContextError>({.part = part, .index = 0, .text = std::move(text)});
}

std::string* password_of(const CertificateConfig& config) { return const_cast<std::string*>(&config.password); }

// Behind the leaf. False: something that is no certificate stands in between.
bool read_chain(BIO* from, STACK_OF(X509) * chain) {
  while (true) {
    CertificateHandle next(PEM_read_bio_X509(from, nullptr, give_password, nullptr));
    if (next == nullptr) {
      const bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
      if (end) ERR_clear_error();
      return end;
    }
    if (sk_X509_push(chain, next.get()) == 0) return false;
    (void)next.release();
  }
}

Result<OwnCertificate, ContextError> read_pem(const CertificateConfig& config) {
  OwnCertificate own;
  std::string no_password;
  const BioHandle chain = reader_of(config.chain);
  own.leaf.reset(PEM_read_bio_X509(chain.get(), nullptr, give_password, &no_password));
  own.chain.reset(sk_X509_new_null());
  if (own.leaf == nullptr || own.chain == nullptr || !read_chain(chain.get(), own.chain.get())) {
    return refuse(Part::kCertificate, "The certificate chain cannot be read (" + error_text() +
                                          "): give the certificate and those that issued it in PEM, the leaf first.");
  }
  const BioHandle key = reader_of(config.key);
  own.key.reset(PEM_read_bio_PrivateKey(key.get(), nullptr, give_password, password_of(config)));
  if (own.key == nullptr) {
    const bool encrypted = config.key.find("ENCRYPTED") != std::string::npos;
    const std::string why = !encrypted                ? "(" + error_text() + "): give it in PEM."
                            : config.password.empty() ? "since it is encrypted: give its password, or a key without one."
                                                      : "with this password (" + error_text() + "): give the right one.";
    return refuse(Part::kKey, "The private key of " + subject_of(own.leaf.get()) + " cannot be read " + why);
  }
  return own;
}

Result<OwnCertificate, ContextError> read_pkcs12(const CertificateConfig& config) {
  OwnCertificate own;
  const BioHandle in = reader_of(config.chain);
  const std::unique_ptr<PKCS12, Deleter<PKCS12_free>> container(d2i_PKCS12_bio(in.get(), nullptr));
  EVP_PKEY* key = nullptr;
  X509* leaf = nullptr;
  STACK_OF(X509)* chain = nullptr;
  const bool good = container != nullptr && PKCS12_parse(container.get(), config.password.c_str(), &key, &leaf, &chain) == 1;
  own.key.reset(key);
  own.leaf.reset(leaf);
  own.chain.reset(chain == nullptr ? sk_X509_new_null() : chain);
  if (!good) {
    return refuse(Part::kCertificate,
                  "The PKCS #12 file cannot be read (" + error_text() +
                      "): give one with modern encryption (AES) and its password, or a chain and a key in PEM.");
  }
  if (own.leaf == nullptr || own.key == nullptr || own.chain == nullptr) {
    return refuse(Part::kCertificate, "The PKCS #12 file lacks a certificate or its private key: export both into it.");
  }
  return own;
}

// Empty: it is.
std::string why_key_is_not_good(EVP_PKEY* key, int& curve) {
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
    const int bits = EVP_PKEY_get_bits(key);
    if (bits >= kLeastRsaBits) return {};
    return "has an RSA key of " + std::to_string(bits) + " bits: use one of 2048 bits or more, or ECDSA.";
  }
  char group[64] = {};
  if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && EVP_PKEY_get_group_name(key, group, sizeof(group), nullptr) == 1) {
    curve = OBJ_txt2nid(group);
    if (curve == NID_X9_62_prime256v1 || curve == NID_secp384r1 || curve == NID_secp521r1) return {};
    return "has an ECDSA key with the curve " + std::string(group) + ": use P-256, P-384 or P-521.";
  }
  return "has a key that is neither RSA nor ECDSA: use one of these.";
}

}  // namespace

Result<OwnCertificate, ContextError> OwnCertificate::read(const CertificateConfig& config, std::int64_t now) {
  ERR_clear_error();
  auto own = config.key.empty() && config.chain.find("-----BEGIN") == std::string::npos ? read_pkcs12(config) : read_pem(config);
  if (!own) return own;
  const std::string name = "The certificate " + subject_of(own->leaf.get()) + " ";
  if (std::string why = why_key_is_not_good(own->key.get(), own->curve); !why.empty()) {
    return refuse(Part::kCertificate, name + why);
  }
  if (X509_check_private_key(own->leaf.get(), own->key.get()) != 1) {
    return refuse(Part::kKey,
                  name + "does not belong to the private key (" + error_text() + "): give the two that were made together.");
  }
  const std::int64_t not_after = to_seconds(X509_get0_notAfter(own->leaf.get()));
  if (not_after < now) {
    return refuse(Part::kCertificate,
                  name + "expired at " + time_text(not_after) + ", now it is " + time_text(now) + ": renew it.");
  }
  own->must_staple = tls::must_staple(own->leaf.get());
  if (!config.ocsp_response.empty()) {
    auto staple = OcspStaple::read(config.ocsp_response, own->leaf.get());
    if (!staple) {
      return refuse(Part::kOcsp, "The OCSP staple of " + subject_of(own->leaf.get()) + " " + staple.error() +
                                     ": give the response, in DER, of the responder that the certificate names.");
    }
    own->staple = std::move(*staple);
  }
  ERR_clear_error();
  return own;
}

}  // namespace millrace::tls
