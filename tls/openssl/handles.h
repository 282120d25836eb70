// OpenSSL's objects as values that free themselves, and its error queue as text. For the sources of tls/ alone.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

namespace millrace::tls {

/// Without this a session of an SSL that ends early counts as broken, and is not resumed (SSL_set_shutdown(3)).
inline void free_ssl(SSL* ssl) {
  SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(ssl);
}
inline void free_certificates(STACK_OF(X509) * certificates) { sk_X509_pop_free(certificates, X509_free); }

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    (void)Free(object);
  }
};

using BioHandle = std::unique_ptr<BIO, Deleter<BIO_free>>;
using CertificateHandle = std::unique_ptr<X509, Deleter<X509_free>>;
using CertificatesHandle = std::unique_ptr<STACK_OF(X509), Deleter<free_certificates>>;
using KeyHandle = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using DigestHandle = std::unique_ptr<EVP_MD_CTX, Deleter<EVP_MD_CTX_free>>;
using SslHandle = std::unique_ptr<SSL, Deleter<free_ssl>>;
using SslContextHandle = std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>>;
using SessionHandle = std::unique_ptr<SSL_SESSION, Deleter<SSL_SESSION_free>>;

/// Reads `bytes` where they lie. Null: no memory.
[[nodiscard]] BioHandle reader_of(std::string_view bytes);
/// Empties a memory BIO.
void drain(BIO* from, std::vector<std::uint8_t>& to);
[[nodiscard]] std::string to_text(BIO* memory);

/// The error that began the trouble, in OpenSSL's words without file and line; "unknown error" when its queue is empty.
[[nodiscard]] std::string error_text();

}  // namespace millrace::tls
