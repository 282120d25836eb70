// RFC 8448 3 (the traffic secrets of its handshake and what follows from them), and OpenSSL's own PRF for TLS 1.2.
#include "tls/key_schedule.h"

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "tests/unit/tls/hex.h"

namespace millrace::tls {
namespace {

using test::hex;
using test::unhex;

const CipherSuite& suite(std::uint16_t id) { return *find_cipher_suite(id); }

TEST(TlsKeySchedule, ClientTrafficKeysOfRfc8448) {
  const auto secret = unhex("9e40646ce79a7f9dc05af8889bce6552 875afa0b06df0087f792ebb7c17504a5");
  const TrafficKeys keys = traffic_keys(suite(0x1301), secret);
  EXPECT_EQ(hex(keys.key.bytes()), "17422dda596ed5d9acd890e3c63f5051");
  EXPECT_EQ(hex(keys.iv.bytes()), "5b78923dee08579033e523d9");
}

TEST(TlsKeySchedule, ServerTrafficKeysOfRfc8448) {
  const auto secret = unhex("a11af9f05531f856ad47116b45a95032 8204b4f44bfb6b3a4b4f1f3fcb631643");
  const TrafficKeys keys = traffic_keys(suite(0x1301), secret);
  EXPECT_EQ(hex(keys.key.bytes()), "9f02283b6c9c07efc26bb9f2ac92e356");
  EXPECT_EQ(hex(keys.iv.bytes()), "cf782b88dd83549aadf1e984");
}

TEST(TlsKeySchedule, FinishedKeyOfRfc8448) {
  const auto handshake_secret = unhex("b67b7d690cc16c4e75e54213cb2d37b4 e9c912bcded9105d42befd59d391ad38");
  EXPECT_EQ(hex(expand_label(Hash::kSha256, handshake_secret, "finished", 32).bytes()),
            "008d3b66f816ea559f96b537e885c31fc068bf492c652f01f288a1d8cdc19fc8");
}

TEST(TlsKeySchedule, EachKeyUpdateGivesAnotherSecretOfTheHashesSize) {
  const std::vector<std::uint8_t> secret(48, 7);
  const Secret next = next_traffic_secret(suite(0x1302), secret);
  EXPECT_EQ(next.size(), 48u);
  EXPECT_NE(hex(next.bytes()), hex(secret));
  EXPECT_EQ(hex(next.bytes()), hex(expand_label(Hash::kSha384, secret, "traffic upd", 48).bytes()));
}

// OpenSSL's TLS1-PRF, fed with the seed of RFC 5246 6.3.
std::vector<std::uint8_t> openssl_key_block(const char* digest, std::span<const std::uint8_t> master,
                                            std::span<const std::uint8_t> client, std::span<const std::uint8_t> server,
                                            std::size_t size) {
  std::vector<std::uint8_t> seed;
  for (const char c : std::string_view("key expansion")) seed.push_back(static_cast<std::uint8_t>(c));
  seed.insert(seed.end(), server.begin(), server.end());
  seed.insert(seed.end(), client.begin(), client.end());
  EVP_KDF* kdf = EVP_KDF_fetch(nullptr, "TLS1-PRF", nullptr);
  EVP_KDF_CTX* context = EVP_KDF_CTX_new(kdf);
  std::vector<std::uint8_t> key(master.begin(), master.end());
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, const_cast<char*>(digest), 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, key.data(), key.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed.data(), seed.size()),
      OSSL_PARAM_construct_end(),
  };
  std::vector<std::uint8_t> out(size);
  EXPECT_EQ(EVP_KDF_derive(context, out.data(), out.size(), parameters), 1);
  EVP_KDF_CTX_free(context);
  EVP_KDF_free(kdf);
  return out;
}

TEST(TlsKeySchedule, KeyBlockIsCutAsTheSuiteSays) {
  const std::vector<std::uint8_t> master(48, 1);
  const std::vector<std::uint8_t> client(32, 2);
  const std::vector<std::uint8_t> server(32, 3);
  struct {
    std::uint16_t id;
    const char* digest;
    std::size_t key;
    std::size_t iv;
  } const cases[] = {{0xc02f, "SHA256", 16, 4}, {0xc030, "SHA384", 32, 4}, {0xcca8, "SHA256", 32, 12}};
  for (const auto& c : cases) {
    const auto all = openssl_key_block(c.digest, master, client, server, 2 * (c.key + c.iv));
    const auto part = [&](std::size_t at, std::size_t size) { return hex(std::span(all).subspan(at, size)); };
    const KeyBlock block = key_block(suite(c.id), master, client, server);
    EXPECT_EQ(hex(block.client.key.bytes()), part(0, c.key)) << suite(c.id).name;
    EXPECT_EQ(hex(block.server.key.bytes()), part(c.key, c.key));
    EXPECT_EQ(hex(block.client.iv.bytes()), part(2 * c.key, c.iv));
    EXPECT_EQ(hex(block.server.iv.bytes()), part(2 * c.key + c.iv, c.iv));
  }
}

TEST(TlsKeySchedule, SecretsAreWipedWhenTheyGo) {
  alignas(Secret) std::byte memory[sizeof(Secret)];
  const std::vector<std::uint8_t> bytes(32, 0x5a);
  auto* secret = new (memory) Secret(bytes);
  secret->~Secret();
  std::size_t left = 0;
  for (const std::byte byte : memory) left += byte == std::byte{0x5a} ? 1 : 0;
  EXPECT_EQ(left, 0u);
}

}  // namespace
}  // namespace millrace::tls
