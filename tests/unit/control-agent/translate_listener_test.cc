#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control-agent/config_fixture.h"

namespace millrace::agent::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(TranslateListener, TakesNameAddressesAndEnvoysDefaults) {
  const auto snapshot = snapshot_of({});
  ASSERT_NE(snapshot, nullptr);
  const auto& listener = *snapshot->listeners.at(0);
  EXPECT_EQ(listener.name, "http");
  EXPECT_THAT(listener.addresses, ElementsAre(*SocketAddress::parse("198.18.0.2:80")));
  EXPECT_EQ(listener.buffer_limit_bytes, 1024U * 1024);
  EXPECT_EQ(listener.cell->name, "198.18.0.2_80");
  EXPECT_EQ(listener.cell->per_worker.size(), 2U);
}

TEST(TranslateListener, TakesAdditionalAddressesPrefixAndBufferLimit) {
  BootstrapText text;
  text.listener =
      ", stat_prefix: front, per_connection_buffer_limit_bytes: 32768, additional_addresses: [{address: {socket_address: "
      "{address: \"2001:db8::2\", port_value: 80}}}]";
  const auto snapshot = snapshot_of(text);
  ASSERT_NE(snapshot, nullptr);
  const auto& listener = *snapshot->listeners.at(0);
  EXPECT_EQ(listener.addresses.at(1).to_string(), "[2001:db8::2]:80");
  EXPECT_EQ(listener.buffer_limit_bytes, 32768U);
  EXPECT_EQ(listener.cell->name, "front");
}

TEST(TranslateListener, HashesItsContent) {
  const auto hash = [](const BootstrapText& text) { return snapshot_of(text)->listeners.at(0)->content_hash; };
  BootstrapText changed;
  changed.manager = ", via: x";
  EXPECT_EQ(hash({}), hash({}));
  EXPECT_NE(hash({}), hash(changed));
  BootstrapText elsewhere;
  elsewhere.cluster = ", alt_stat_name: x";
  EXPECT_EQ(hash({}), hash(elsewhere));
}

TEST(TranslateListener, RefusesValuesThatItCannotServe) {
  BootstrapText text;
  text.listener =
      ", per_connection_buffer_limit_bytes: 1, bind_to_port: false, additional_addresses: [{address: {socket_address: {address: "
      "198.18.0.2, port_value: 80}}}, {address: {socket_address: {protocol: UDP, address: 198.18.0.3, port_value: 1}}}, "
      "{address: "
      "{socket_address: {address: localhost, port_value: 1}}}, {address: {socket_address: {address: 224.0.0.1, port_value: 1}}}, "
      "{address: {socket_address: {address: 198.18.0.3, port_value: 0}}}, {address: {pipe: {path: /x}}}]";
  EXPECT_THAT(
      errors_of(text),
      testing::UnorderedElementsAre(
          HasSubstr("per_connection_buffer_limit_bytes: must be at least 4096, is 1"), HasSubstr("bind_to_port: must be true"),
          HasSubstr("additional_addresses[0].address: 198.18.0.2:80 is given twice"), HasSubstr("protocol: UDP is not supported"),
          HasSubstr("\"localhost\" is not an IP address"), HasSubstr("224.0.0.1 is not the address of one host"),
          HasSubstr("additional_addresses[4].address.socket_address.port_value: must be set"),
          HasSubstr("additional_addresses[5].address.pipe: is not supported yet")));
}

}  // namespace
}  // namespace millrace::agent::test
