#include "tls/engines/openssl_engine.h"

#include <openssl/evp.h>

#include "tls/engines/immediate_engine.h"

namespace millrace::tls {
namespace {

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }  // and wipes it
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

const EVP_CIPHER* cipher_of(Aead aead) {
  switch (aead) {
    case Aead::kAes128Gcm: return EVP_aes_128_gcm();
    case Aead::kAes256Gcm: return EVP_aes_256_gcm();
    case Aead::kChaCha20Poly1305: return EVP_chacha20_poly1305();
  }
  return nullptr;
}

class OpensslKey final : public ImmediateKey {
 public:
  OpensslKey(Context context, Direction direction) : context_(std::move(context)), direction_(direction) {}

  [[nodiscard]] bool run(RecordJob& job) override {
    EVP_CIPHER_CTX* const context = context_.get();
    const bool seal = direction_ == Direction::kSeal;
    int size = 0;
    bool good = EVP_CipherInit_ex(context, nullptr, nullptr, nullptr, job.nonce.data(), -1) == 1;
    good &= EVP_CipherUpdate(context, nullptr, &size, job.additional.data(), job.additional_size) == 1;
    for (const std::span<std::uint8_t> part : job.text) {
      if (!part.empty()) good &= EVP_CipherUpdate(context, part.data(), &size, part.data(), static_cast<int>(part.size())) == 1;
    }
    constexpr int kTag = static_cast<int>(kTagBytes);
    if (!seal) good &= EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kTag, job.tag.data()) == 1;
    std::uint8_t nothing[1];
    good = good && EVP_CipherFinal_ex(context, nothing, &size) == 1;  // compares the tags
    if (seal) good = good && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kTag, job.tag.data()) == 1;
    return good;
  }

 private:
  Context context_;
  Direction direction_;
};

class OpensslEngine final : public ImmediateEngine {
 public:
  [[nodiscard]] std::string_view name() const override { return "openssl"; }
  [[nodiscard]] bool supports(Aead) const override { return true; }
  [[nodiscard]] std::unique_ptr<RecordKey> make_key(Aead aead, Direction direction, std::span<const std::uint8_t> key,
                                                    std::size_t) override {
    MR_ASSERT(key.size() == key_bytes(aead));
    Context context(EVP_CIPHER_CTX_new());
    const int seal = direction == Direction::kSeal ? 1 : 0;
    if (context == nullptr || EVP_CipherInit_ex(context.get(), cipher_of(aead), nullptr, key.data(), nullptr, seal) != 1)
      return nullptr;
    return std::make_unique<OpensslKey>(std::move(context), direction);
  }
};

}  // namespace

std::unique_ptr<RecordEngine> make_openssl_engine() { return std::make_unique<OpensslEngine>(); }

}  // namespace millrace::tls
