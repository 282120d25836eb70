#include "control-agent/rule_checks.h"

#include <gtest/gtest.h>

#include <functional>

namespace millrace::agent {
namespace {

std::string string_reason(const std::function<void(validate::StringRules&)>& set, const std::string& value) {
  validate::StringRules rules;
  set(rules);
  return check_string(rules, value);
}

std::string number_reason(const std::function<void(validate::UInt32Rules&)>& set, std::uint32_t value) {
  validate::UInt32Rules rules;
  set(rules);
  return check_number<std::uint32_t>(rules, value);
}

TEST(RuleChecks_Numbers, KnowEveryBound) {
  EXPECT_EQ(number_reason([](auto& r) { r.set_gte(5); }, 4), "must be at least 5, is 4");
  EXPECT_EQ(number_reason([](auto& r) { r.set_gte(5); }, 5), "");
  EXPECT_EQ(number_reason([](auto& r) { r.set_gt(5); }, 5), "must be greater than 5, is 5");
  EXPECT_EQ(number_reason([](auto& r) { r.set_lte(5); }, 6), "must be at most 5, is 6");
  EXPECT_EQ(number_reason([](auto& r) { r.set_lt(5); }, 5), "must be less than 5, is 5");
  EXPECT_EQ(number_reason([](auto& r) { r.set_gte(2), r.set_lt(5); }, 5), "must be at least 2 and less than 5, is 5");
  EXPECT_EQ(number_reason([](auto& r) { r.set_const_(5); }, 6), "must be 5");
}

TEST(RuleChecks_Numbers, TakeReversedBoundsAsAGap) {
  const auto gap = [](validate::UInt32Rules& r) { r.set_gt(10), r.set_lt(5); };
  EXPECT_EQ(number_reason(gap, 4), "");
  EXPECT_EQ(number_reason(gap, 11), "");
  EXPECT_EQ(number_reason(gap, 7), "must be less than 5 or greater than 10, is 7");
}

TEST(RuleChecks_Numbers, KnowListsAndIgnoreEmpty) {
  const auto in = [](validate::UInt32Rules& r) { r.add_in(1), r.add_in(3); };
  EXPECT_EQ(number_reason(in, 3), "");
  EXPECT_EQ(number_reason(in, 2), "must be one of 1, 3, is 2");
  EXPECT_EQ(number_reason([](auto& r) { r.add_not_in(7); }, 7), "must not be 7");
  EXPECT_EQ(number_reason([](auto& r) { r.set_gte(5), r.set_ignore_empty(true); }, 0), "");
}

TEST(RuleChecks_Strings, CountCharactersAndBytes) {
  const std::string two_characters = "\xc3\xa9\xc3\xa9";
  EXPECT_EQ(string_reason([](auto& r) { r.set_min_len(1); }, ""), "must not be empty");
  EXPECT_EQ(string_reason([](auto& r) { r.set_max_len(2); }, two_characters), "");
  EXPECT_EQ(string_reason([](auto& r) { r.set_len(3); }, two_characters), "must be 3 characters long, is 2");
  EXPECT_EQ(string_reason([](auto& r) { r.set_max_bytes(3); }, two_characters), "must have at most 3 bytes, has 4");
  EXPECT_EQ(string_reason([](auto& r) { r.set_min_bytes(5); }, two_characters), "must have at least 5 bytes, has 4");
  EXPECT_EQ(string_reason([](auto& r) { r.set_len_bytes(1); }, two_characters), "must be 1 byte long, is 4");
}

TEST(RuleChecks_Strings, CompareContent) {
  EXPECT_EQ(string_reason([](auto& r) { r.set_const_("a"); }, "b"), "must be \"a\"");
  EXPECT_EQ(string_reason([](auto& r) { r.set_prefix("/"); }, "a"), "must start with \"/\"");
  EXPECT_EQ(string_reason([](auto& r) { r.set_suffix("/"); }, "a"), "must end with \"/\"");
  EXPECT_EQ(string_reason([](auto& r) { r.set_contains("x"); }, "a"), "must contain \"x\"");
  EXPECT_EQ(string_reason([](auto& r) { r.set_not_contains("a"); }, "a"), "must not contain \"a\"");
  EXPECT_EQ(string_reason([](auto& r) { r.add_in("x"), r.add_in("y"); }, "a"), "must be one of \"x\", \"y\"");
  EXPECT_EQ(string_reason([](auto& r) { r.add_not_in("a"); }, "a"), "must not be \"a\"");
  EXPECT_EQ(string_reason([](auto& r) { r.set_pattern("^[a-z]+$"); }, "A"), "must match the pattern ^[a-z]+$");
  EXPECT_EQ(string_reason([](auto& r) { r.set_pattern("^[a-z]+$"), r.set_ignore_empty(true); }, ""), "");
}

struct Form {
  std::function<void(validate::StringRules&)> rule;
  std::vector<std::string> good;
  std::vector<std::string> bad;
};

TEST(RuleChecks_Strings, KnowTheWellKnownForms) {
  const std::vector<Form> forms{
      {[](auto& r) { r.set_ip(true); }, {"1.2.3.4", "::1"}, {"1.2.3", "host", ""}},
      {[](auto& r) { r.set_ipv4(true); }, {"1.2.3.4"}, {"::1", "1.2.3.4.5"}},
      {[](auto& r) { r.set_ipv6(true); }, {"2001:db8::1"}, {"1.2.3.4"}},
      {[](auto& r) { r.set_hostname(true); }, {"a.example", "a-b.c."}, {"", "-a", "a..b", "a_b", std::string(64, 'a')}},
      {[](auto& r) { r.set_address(true); }, {"1.2.3.4", "a.example"}, {"a b"}},
      {[](auto& r) { r.set_uri(true); }, {"http://a/b?c", "urn:x"}, {"/a", "a b"}},
      {[](auto& r) { r.set_uri_ref(true); }, {"/a", "http://a/"}, {"a b"}},
      {[](auto& r) { r.set_email(true); }, {"a@b.example"}, {"a", "@b", "a@-"}},
      {[](auto& r) { r.set_uuid(true); }, {"123e4567-e89b-12d3-a456-426614174000"}, {"123e4567"}},
      {[](auto& r) { r.set_well_known_regex(validate::HTTP_HEADER_NAME); }, {"x-a", ":path"}, {"", ":", "a b", "a\n"}},
      {[](auto& r) { r.set_well_known_regex(validate::HTTP_HEADER_NAME), r.set_strict(false); }, {"", "a b"}, {"a\n"}},
      {[](auto& r) { r.set_well_known_regex(validate::HTTP_HEADER_VALUE); }, {"", "a b\t"}, {"a\x01", "a\x7f", "\r"}},
      {[](auto& r) { r.set_well_known_regex(validate::HTTP_HEADER_VALUE), r.set_strict(false); },
       {"a\x01"},
       {"\r", std::string("\0", 1)}},
  };
  for (std::size_t i = 0; i < forms.size(); ++i) {
    for (const auto& text : forms[i].good) EXPECT_EQ(string_reason(forms[i].rule, text), "") << i << " " << text;
    for (const auto& text : forms[i].bad) EXPECT_NE(string_reason(forms[i].rule, text), "") << i << " " << text;
  }
}

TEST(RuleChecks_Bytes, CountBytesAndKnowAddresses) {
  validate::BytesRules rules;
  rules.set_min_len(1);
  EXPECT_EQ(check_bytes(rules, ""), "must not be empty");
  EXPECT_EQ(check_bytes(rules, "\xff"), "");
  validate::BytesRules ip;
  ip.set_ip(true);
  EXPECT_EQ(check_bytes(ip, "abcd"), "");
  EXPECT_NE(check_bytes(ip, "abc"), "");
}

}  // namespace
}  // namespace millrace::agent
