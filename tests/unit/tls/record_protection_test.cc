// Records of RFC 8448 3, sealed and opened; the rules of both versions.
#include "tls/record_protection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "tests/unit/tls/hex.h"
#include "tests/unit/tls/record_io.h"
#include "tls/engines/ipsec_mb_engine.h"
#include "tls/engines/openssl_engine.h"

namespace millrace::tls {
namespace {

using test::hex;
using test::open;
using test::Opened;
using test::seal;
using test::unhex;
using Bytes = std::vector<std::uint8_t>;

const CipherSuite& suite(std::uint16_t id) { return *find_cipher_suite(id); }

Bytes first_numbers(std::size_t count) {
  Bytes bytes(count);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
  return bytes;
}

class TlsRecordProtection : public testing::Test {
 protected:
  std::unique_ptr<RecordEngine> engine = make_ipsec_mb_engine();
  const CipherSuite& tls13 = suite(0x1301);
  const TrafficKeys client = traffic_keys(tls13, unhex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"));
  const TrafficKeys server = traffic_keys(tls13, unhex("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643"));
  const Bytes close_notify = {1, 0};
};

constexpr const char* kClientData =
    "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e"
    "3deae63aeebb21694915e4";
constexpr const char* kServerData =
    "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2ab"
    "f332540dd032e167c2955d";

TEST_F(TlsRecordProtection, SealsTheClientsRecordsOfRfc8448) {
  RecordSealer sealer(*engine, tls13, client);
  EXPECT_EQ(hex(seal(*engine, sealer, ContentType::kApplicationData, first_numbers(50))), kClientData);
  EXPECT_EQ(hex(seal(*engine, sealer, ContentType::kAlert, close_notify)), "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3");
  EXPECT_EQ(sealer.sequence(), 2u);
}

TEST_F(TlsRecordProtection, SealsTheServersBehindTheTicketThatItsHandshakeSent) {
  RecordSealer sealer(*engine, tls13, server, 1);
  EXPECT_EQ(hex(seal(*engine, sealer, ContentType::kApplicationData, first_numbers(50))), kServerData);
  EXPECT_EQ(hex(seal(*engine, sealer, ContentType::kAlert, close_notify)), "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9");
}

TEST_F(TlsRecordProtection, OpensThem) {
  RecordOpener opener(*engine, tls13, client);
  const Opened data = open(*engine, opener, unhex(kClientData));
  EXPECT_EQ(data.alert, std::nullopt);
  EXPECT_EQ(data.type, ContentType::kApplicationData);
  EXPECT_EQ(data.text, first_numbers(50));
  const Opened alert = open(*engine, opener, unhex("1703030013c9872760655666b74d7ff1153efd6db6d0b0e3"));
  EXPECT_EQ(alert.type, ContentType::kAlert);
  EXPECT_EQ(alert.text, close_notify);
}

TEST_F(TlsRecordProtection, ARecordOutOfItsTurnIsForged) {
  RecordOpener opener(*engine, tls13, client, 1);
  EXPECT_EQ(open(*engine, opener, unhex(kClientData)).alert, Alert::kBadRecordMac);
}

TEST_F(TlsRecordProtection, PaddingIsTakenOff) {
  const Bytes inner = {'h', 'i', 0, static_cast<std::uint8_t>(ContentType::kApplicationData), 0, 0, 0};
  RecordOpener opener(*engine, tls13, client);
  const RecordHeader header{ContentType::kApplicationData, static_cast<std::uint16_t>(inner.size() + kTagBytes)};
  for (const std::size_t cut : std::initializer_list<std::size_t>{0, 2, 3, 5, 7}) {  // wherever the parts meet
    Bytes copy = inner;
    const std::span<std::uint8_t> parts[] = {std::span(copy).first(cut), std::span(copy).subspan(cut)};
    const auto content = opener.content_of(header, parts);
    ASSERT_TRUE(content);
    EXPECT_EQ(content->size, 3u) << "zeroes of the text stay";
    EXPECT_EQ(content->type, ContentType::kApplicationData);
  }
}

TEST_F(TlsRecordProtection, NothingButPaddingOrAWrongTypeInsideIsRefused) {
  RecordOpener opener(*engine, tls13, client);
  const RecordHeader header{ContentType::kApplicationData, 20};
  for (const std::uint8_t last : std::initializer_list<std::uint8_t>{0, 20, 24, 255}) {
    Bytes inner = {0, 0, 0, last};
    const std::span<std::uint8_t> part(inner);
    EXPECT_EQ(opener.content_of(header, {&part, 1}).error(), Alert::kUnexpectedMessage) << int{last};
  }
}

TEST_F(TlsRecordProtection, LengthsAndTypesOfTls13) {
  const RecordOpener opener(*engine, tls13, client);
  EXPECT_EQ(opener.text_bytes({ContentType::kApplicationData, 17}), 1u);
  EXPECT_EQ(opener.text_bytes({ContentType::kApplicationData, 16}).error(), Alert::kDecodeError);
  EXPECT_EQ(opener.text_bytes({ContentType::kApplicationData, 0}).error(), Alert::kDecodeError);
  EXPECT_EQ(opener.text_bytes({ContentType::kHandshake, 100}).error(), Alert::kUnexpectedMessage);
  EXPECT_EQ(opener.text_bytes({ContentType::kChangeCipherSpec, 1}).error(), Alert::kUnexpectedMessage);
  const auto most = static_cast<std::uint16_t>(kMostPlaintextBytes + 1 + kTagBytes);  // padding counts, too
  EXPECT_EQ(opener.text_bytes({ContentType::kApplicationData, most}), kMostPlaintextBytes + 1);
  EXPECT_EQ(opener.text_bytes({ContentType::kApplicationData, static_cast<std::uint16_t>(most + 1)}).error(),
            Alert::kRecordOverflow);
}

TEST(TlsRecordHeader, Parse) {
  const auto parse = [](std::string_view text) {
    const Bytes bytes = unhex(text);
    return RecordHeader::parse(std::span<const std::uint8_t, kRecordHeaderBytes>(bytes));
  };
  EXPECT_EQ(parse("1603010200")->type, ContentType::kHandshake);
  EXPECT_EQ(parse("1603010200")->length, 512);
  EXPECT_EQ(parse("1703034100")->length, kMostPlaintextBytes + kMostExpansionBytes);
  EXPECT_EQ(parse("1703034101").error(), Alert::kRecordOverflow);
  EXPECT_EQ(parse("1303030001").error(), Alert::kUnexpectedMessage);
  EXPECT_EQ(parse("1803030001").error(), Alert::kUnexpectedMessage);
  EXPECT_EQ(parse("1702000001").error(), Alert::kProtocolVersion);
}

class TlsRecordProtection12 : public testing::TestWithParam<std::uint16_t> {};
INSTANTIATE_TEST_SUITE_P(All, TlsRecordProtection12, testing::Values(0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9));

TEST_P(TlsRecordProtection12, RoundTripsWithTheNumbersThatTheHandshakeLeft) {
  const auto engine = make_ipsec_mb_engine();
  const CipherSuite& tls12 = suite(GetParam());
  const KeyBlock keys = key_block(tls12, Bytes(48, 1), Bytes(32, 2), Bytes(32, 3));
  RecordSealer sealer(*engine, tls12, keys.client, 1, 0x1122334455667788);
  RecordOpener opener(*engine, tls12, keys.client, 1);
  for (std::uint8_t i = 0; i < 3; ++i) {
    const Bytes record = seal(*engine, sealer, ContentType::kApplicationData, first_numbers(40));
    if (tls12.explicit_nonce_bytes() > 0) {
      EXPECT_EQ(hex(std::span(record).first(13)), std::string("1703030040112233445566778") + "89a"[i]);
    } else {
      EXPECT_EQ(record.size(), 5u + 40 + kTagBytes);
    }
    const Opened opened = open(*engine, opener, record);
    EXPECT_EQ(opened.alert, std::nullopt);
    EXPECT_EQ(opened.text, first_numbers(40));
  }
}

TEST_P(TlsRecordProtection12, TypeAndLengthAreAuthenticated) {
  const auto engine = make_ipsec_mb_engine();
  const CipherSuite& tls12 = suite(GetParam());
  const KeyBlock keys = key_block(tls12, Bytes(48, 1), Bytes(32, 2), Bytes(32, 3));
  RecordSealer sealer(*engine, tls12, keys.server);
  RecordOpener opener(*engine, tls12, keys.server);
  Bytes record = seal(*engine, sealer, ContentType::kApplicationData, first_numbers(40));
  record[0] = static_cast<std::uint8_t>(ContentType::kAlert);
  EXPECT_EQ(open(*engine, opener, record).alert, Alert::kBadRecordMac);
}

TEST_P(TlsRecordProtection12, LengthsAndTypes) {
  const auto engine = make_ipsec_mb_engine();
  const CipherSuite& tls12 = suite(GetParam());
  const RecordOpener opener(*engine, tls12, key_block(tls12, Bytes(48, 1), Bytes(32, 2), Bytes(32, 3)).client);
  const auto around = static_cast<std::uint16_t>(tls12.explicit_nonce_bytes() + kTagBytes);
  const auto with = [&](std::size_t text) { return static_cast<std::uint16_t>(around + text); };
  EXPECT_EQ(opener.text_bytes({ContentType::kHandshake, around}), 0u);
  EXPECT_EQ(opener.text_bytes({ContentType::kApplicationData, with(kMostPlaintextBytes)}), kMostPlaintextBytes);
  EXPECT_EQ(opener.text_bytes({ContentType::kApplicationData, with(kMostPlaintextBytes + 1)}).error(), Alert::kRecordOverflow);
  EXPECT_EQ(opener.text_bytes({ContentType::kApplicationData, static_cast<std::uint16_t>(around - 1)}).error(),
            Alert::kDecodeError);
  EXPECT_EQ(opener.text_bytes({ContentType::kChangeCipherSpec, 100}).error(), Alert::kUnexpectedMessage);
}

TEST_F(TlsRecordProtection, AKeyProtectsOnlySoMuch) {
  const std::uint64_t most = most_records(Aead::kAes128Gcm);
  EXPECT_NEAR(static_cast<double>(most), 23'726'566.4, 1.0) << "2^24.5";
  RecordSealer sealer(*engine, tls13, client, most / 2 - 1);
  EXPECT_FALSE(sealer.wants_new_key());
  (void)seal(*engine, sealer, ContentType::kApplicationData, {});
  EXPECT_TRUE(sealer.wants_new_key());
  EXPECT_FALSE(sealer.exhausted());
  EXPECT_TRUE(RecordSealer(*engine, tls13, client, most).exhausted());
  const CipherSuite& chacha = suite(0x1303);
  EXPECT_FALSE(RecordSealer(*engine, chacha, traffic_keys(chacha, Bytes(32, 1)), most).wants_new_key());
}

TEST_F(TlsRecordProtection, AKeyUpdateNumbersFromZero) {
  RecordSealer sealer(*engine, tls13, server, 5);
  RecordOpener opener(*engine, tls13, client);
  ASSERT_TRUE(sealer.change_keys(*engine, client));
  EXPECT_EQ(sealer.sequence(), 0u);
  EXPECT_EQ(open(*engine, opener, seal(*engine, sealer, ContentType::kApplicationData, first_numbers(3))).text, first_numbers(3));
  EXPECT_FALSE(sealer.change_keys(*engine, {})) << "no keys";
  EXPECT_FALSE(sealer.change_keys(*engine, {.key = client.key, .iv = {}})) << "half of them";
  EXPECT_EQ(sealer.sequence(), 1u) << "and nothing has changed";
}

}  // namespace
}  // namespace millrace::tls
