#include "tls/engines/ipsec_mb_engine.h"

#define NO_COMPAT_IMB_API_053
#include <intel-ipsec-mb.h>

#include <new>

#include "tls/engines/immediate_engine.h"
#include "tls/secret.h"

namespace millrace::tls {
namespace {

template <typename T>
std::span<std::uint8_t> bytes_of(T& object) {
  return {reinterpret_cast<std::uint8_t*>(&object), sizeof(T)};
}

using Tag = std::array<std::uint8_t, kTagBytes>;

class ImbKey : public ImmediateKey {
 public:
  explicit ImbKey(Direction direction) : direction_(direction) {}

  [[nodiscard]] bool run(RecordJob& job) final {
    Tag tag;
    transform(job, tag);
    if (direction_ == Direction::kOpen) return equal_in_constant_time(tag, job.tag);
    job.tag = tag;
    return true;
  }

 protected:
  [[nodiscard]] Direction direction() const { return direction_; }
  virtual void transform(const RecordJob& job, Tag& tag) = 0;

 private:
  Direction direction_;
};

/// What the library has for one size of AES keys and one direction.
struct GcmFunctions {
  GcmFunctions(const IMB_MGR& manager, Aead aead, Direction direction) {
    const bool seal = direction == Direction::kSeal;
    if (aead == Aead::kAes128Gcm) {
      prepare = manager.gcm128_pre;
      init = manager.gcm128_init;
      update = seal ? manager.gcm128_enc_update : manager.gcm128_dec_update;
      finalize = seal ? manager.gcm128_enc_finalize : manager.gcm128_dec_finalize;
      whole = seal ? manager.gcm128_enc : manager.gcm128_dec;
    } else {
      prepare = manager.gcm256_pre;
      init = manager.gcm256_init;
      update = seal ? manager.gcm256_enc_update : manager.gcm256_dec_update;
      finalize = seal ? manager.gcm256_enc_finalize : manager.gcm256_dec_finalize;
      whole = seal ? manager.gcm256_enc : manager.gcm256_dec;
    }
  }

  aes_gcm_pre_t prepare;
  aes_gcm_init_t init;
  aes_gcm_enc_dec_update_t update;
  aes_gcm_enc_dec_finalize_t finalize;
  aes_gcm_enc_dec_t whole;  // a text in one part
};

class GcmKey final : public ImbKey {
 public:
  GcmKey(const IMB_MGR& manager, Aead aead, Direction direction, std::span<const std::uint8_t> key)
      : ImbKey(direction), functions_(manager, aead, direction) {
    functions_.prepare(key.data(), &expanded_);
  }
  ~GcmKey() override { wipe(bytes_of(expanded_)); }

 private:
  void transform(const RecordJob& job, Tag& tag) override {
    gcm_context_data context;
    if (job.text.size() == 1) {
      const std::span<std::uint8_t> text = job.text.front();
      functions_.whole(&expanded_, &context, text.data(), text.data(), text.size(), job.nonce.data(), job.additional.data(),
                       job.additional_size, tag.data(), tag.size());
    } else {
      functions_.init(&expanded_, &context, job.nonce.data(), job.additional.data(), job.additional_size);
      for (const std::span<std::uint8_t> part : job.text) {
        if (!part.empty()) functions_.update(&expanded_, &context, part.data(), part.data(), part.size());
      }
      functions_.finalize(&expanded_, &context, tag.data(), tag.size());
    }
    wipe(bytes_of(context));
  }

  GcmFunctions functions_;
  alignas(64) gcm_key_data expanded_;  // the library loads whole vectors
};

class ChaChaKey final : public ImbKey {
 public:
  ChaChaKey(const IMB_MGR& manager, Direction direction, std::span<const std::uint8_t> key)
      : ImbKey(direction), manager_(manager), key_(key) {}

 private:
  void transform(const RecordJob& job, Tag& tag) override {
    const bool seal = direction() == Direction::kSeal;
    const auto update = seal ? manager_.chacha20_poly1305_enc_update : manager_.chacha20_poly1305_dec_update;
    const std::uint8_t* key = key_.bytes().data();
    chacha20_poly1305_context_data context;
    manager_.chacha20_poly1305_init(key, &context, job.nonce.data(), job.additional.data(), job.additional_size);
    for (const std::span<std::uint8_t> part : job.text) {
      if (!part.empty()) update(key, &context, part.data(), part.data(), part.size());
    }
    manager_.chacha20_poly1305_finalize(&context, tag.data(), tag.size());
    wipe(bytes_of(context));
  }

  const IMB_MGR& manager_;
  Secret key_;
};

struct FreeManager {
  void operator()(IMB_MGR* manager) const { free_mb_mgr(manager); }
};

class ImbEngine final : public ImmediateEngine {
 public:
  explicit ImbEngine(std::unique_ptr<IMB_MGR, FreeManager> manager) : manager_(std::move(manager)) {}

  [[nodiscard]] std::string_view name() const override { return "ipsec-mb"; }
  [[nodiscard]] bool supports(Aead) const override { return true; }
  [[nodiscard]] std::unique_ptr<RecordKey> make_key(Aead aead, Direction direction, std::span<const std::uint8_t> key,
                                                    std::size_t) override {
    MR_ASSERT(key.size() == key_bytes(aead));
    if (aead == Aead::kChaCha20Poly1305) return std::make_unique<ChaChaKey>(*manager_, direction, key);
    return std::make_unique<GcmKey>(*manager_, aead, direction, key);
  }

 private:
  std::unique_ptr<IMB_MGR, FreeManager> manager_;
};

}  // namespace

std::unique_ptr<RecordEngine> make_ipsec_mb_engine() {
  std::unique_ptr<IMB_MGR, FreeManager> manager(alloc_mb_mgr(0));
  if (manager == nullptr) return nullptr;
  init_mb_mgr_auto(manager.get(), nullptr);
  if (imb_get_errno(manager.get()) != 0) return nullptr;
  return std::make_unique<ImbEngine>(std::move(manager));
}

}  // namespace millrace::tls
