#include "tls/library_client.h"

#include <utility>

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include "tls/openssl/context_impl.h"
#include "tls/openssl/parameters.h"

namespace millrace::tls {
namespace {

using ChainHandle = std::unique_ptr<X509_STORE_CTX, Deleter<X509_STORE_CTX_free>>;

}  // namespace

struct LibraryClient::Callback {
  // The chain is verified against our store: what the other library has put into its own counts for nothing.
  static int judge(X509_STORE_CTX* theirs, void* argument) {
    LibraryClient& client = *static_cast<LibraryClient*>(argument);
    const Context::Impl& impl = client.context_->impl();
    SSL_CTX* const context = impl.ssl.get();
    const ChainHandle ours(X509_STORE_CTX_new());
    if (ours == nullptr || X509_STORE_CTX_init(ours.get(), SSL_CTX_get_cert_store(context), X509_STORE_CTX_get0_cert(theirs),
                                               X509_STORE_CTX_get0_untrusted(theirs)) != 1) {
      X509_STORE_CTX_set_error(theirs, X509_V_ERR_OUT_OF_MEM);
      return 0;
    }
    (void)X509_STORE_CTX_set_default(ours.get(), "ssl_server");
    X509_VERIFY_PARAM* const parameters = X509_STORE_CTX_get0_param(ours.get());
    X509_VERIFY_PARAM_set_auth_level(parameters, SSL_CTX_get_security_level(context));
    if (const int depth = SSL_CTX_get_verify_depth(context); depth >= 0) X509_VERIFY_PARAM_set_depth(parameters, depth);
    const auto refusal = impl.trust.judge(ours.get(), client.expected_name_, impl.now());
    X509_STORE_CTX_set_error(theirs, refusal ? refusal->error : X509_V_OK);
    if (refusal) client.refusal_ = refusal->text;
    return refusal ? 0 : 1;
  }
};

LibraryClient::LibraryClient(std::shared_ptr<const Context> context, std::string expected_name)
    : context_(std::move(context)), expected_name_(std::move(expected_name)) {}

bool LibraryClient::configure(void* ssl_context) {
  auto* const theirs = static_cast<SSL_CTX*>(ssl_context);
  const Context::Impl& impl = context_->impl();
  if (set_parameters(theirs, impl.parameters)) return false;
  if (!impl.own.empty()) {
    const OwnCertificate& own = impl.own.front();
    if (SSL_CTX_use_cert_and_key(theirs, own.leaf.get(), own.key.get(), own.chain.get(), 1) != 1) return false;
  }
  SSL_CTX_set_options(theirs, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode(theirs, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(theirs, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(theirs, Callback::judge, this);
  return true;
}

}  // namespace millrace::tls
