#include "tls/openssl/ticket_keys.h"

#include <algorithm>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

namespace millrace::tls {
namespace {

constexpr std::int64_t kMostPeriodSeconds = 12 * 3600;

std::optional<TicketKey> random_key() {
  std::array<std::uint8_t, TicketKey::kBytes> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) return std::nullopt;
  TicketKey key = TicketKey::read(bytes);
  wipe(bytes);
  return key;
}

bool start_mac(EVP_MAC_CTX* mac, const TicketKey& key) {
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                   OSSL_PARAM_construct_end()};
  return EVP_MAC_init(mac, key.hmac.bytes().data(), key.hmac.size(), parameters) == 1;
}

}  // namespace

TicketKey TicketKey::read(std::span<const std::uint8_t, kBytes> bytes) {
  TicketKey key;
  std::ranges::copy(bytes.first<kNameBytes>(), key.name.begin());
  key.hmac = Secret(bytes.subspan(kNameBytes, kHmacBytes));
  key.aes = Secret(bytes.subspan(kNameBytes + kHmacBytes, kAesBytes));
  return key;
}

TicketKeys::TicketKeys(std::int64_t lifetime_seconds)
    : period_seconds_(std::clamp<std::int64_t>(lifetime_seconds / 2, 1, kMostPeriodSeconds)) {}

void TicketKeys::rotate(std::int64_t now) {
  if (period_seconds_ == 0 || (!keys_.empty() && now - sealing_since_ < period_seconds_)) return;
  auto next = random_key();
  if (!next) return;
  const bool previous_opens = !keys_.empty() && now - sealing_since_ < 2 * period_seconds_;
  keys_.resize(previous_opens ? 1 : 0);
  keys_.insert(keys_.begin(), std::move(*next));
  sealing_since_ = now;
}

std::optional<TicketKey> TicketKeys::sealing(std::int64_t now) {
  const std::scoped_lock lock(mutex_);
  rotate(now);
  return keys_.empty() ? std::nullopt : std::optional(keys_.front());
}

std::optional<TicketKeys::Found> TicketKeys::find(std::span<const std::uint8_t, TicketKey::kNameBytes> name, std::int64_t now) {
  const std::scoped_lock lock(mutex_);
  rotate(now);
  const auto found = std::ranges::find_if(keys_, [&](const TicketKey& key) { return std::ranges::equal(key.name, name); });
  if (found == keys_.end()) return std::nullopt;
  return Found{*found, found != keys_.begin()};
}

int seal_ticket(TicketKeys& keys, std::int64_t now, std::uint8_t* name, std::uint8_t* iv, EVP_CIPHER_CTX* cipher,
                EVP_MAC_CTX* mac) {
  const auto key = keys.sealing(now);
  const EVP_CIPHER* const aes = EVP_aes_256_cbc();
  if (!key || RAND_bytes(iv, EVP_CIPHER_get_iv_length(aes)) != 1) return 0;
  std::ranges::copy(key->name, name);
  return EVP_EncryptInit_ex(cipher, aes, nullptr, key->aes.bytes().data(), iv) == 1 && start_mac(mac, *key) ? 1 : -1;
}

int open_ticket(TicketKeys& keys, std::int64_t now, const std::uint8_t* name, const std::uint8_t* iv, EVP_CIPHER_CTX* cipher,
                EVP_MAC_CTX* mac) {
  const auto found = keys.find(std::span<const std::uint8_t, TicketKey::kNameBytes>(name, TicketKey::kNameBytes), now);
  if (!found) return 0;
  if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, found->key.aes.bytes().data(), iv) != 1) return -1;
  if (!start_mac(mac, found->key)) return -1;
  return found->renew ? 2 : 1;
}

}  // namespace millrace::tls
