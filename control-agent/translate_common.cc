#include "control-agent/translate_common.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>

#include "config/compile/format_compiler.h"
#include "control-agent/runtime_values.h"

namespace millrace::agent {

namespace core = envoy::config::core::v3;

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

Duration translate_duration(const google::protobuf::Duration& duration, const std::string& path, Diagnostics& diagnostics) {
  constexpr std::int64_t kMaxSeconds = 9'000'000'000;
  if (duration.seconds() < 0 || duration.nanos() < 0) {
    diagnostics.error(path, "must not be negative");
    return {};
  }
  if (duration.seconds() > kMaxSeconds) return Duration::infinite();
  return Duration::seconds(duration.seconds()) + Duration::nanoseconds(duration.nanos());
}

namespace {

// What sockaddr_un holds, less a terminator.
constexpr std::size_t kMostPipeBytes = 107;

std::optional<SocketAddress> translate_pipe(const core::Pipe& pipe, const std::string& path, AddressUse use,
                                            Diagnostics& diagnostics) {
  const auto refuse = [&](std::string_view field, std::string reason) {
    diagnostics.error(field.empty() ? path : join_path(path, field), std::move(reason));
    return std::nullopt;
  };
  if (use == AddressUse::kAdmin) return refuse("", "a Unix socket is not supported here: give a socket_address");
  if (pipe.path().empty() || pipe.path() == "@") return refuse("path", "must name a Unix socket: a path, or @ and a name");
  if (pipe.path().size() > kMostPipeBytes) {
    return refuse("path", "must be at most " + std::to_string(kMostPipeBytes) + " bytes, is " +
                              std::to_string(pipe.path().size()) + ": the kernel's names of sockets end there");
  }
  if (pipe.path().find('\0') != std::string::npos)
    return refuse("path", "must not hold a zero byte: abstract names begin with @");
  if (pipe.path().front() == '@' && pipe.mode() != 0) return refuse("mode", "cannot be set: an abstract name has no file");
  return SocketAddress::of_pipe(pipe.path());
}

}  // namespace

std::optional<SocketAddress> translate_address(const core::Address& address, const std::string& path, AddressUse use,
                                               Diagnostics& diagnostics) {
  if (address.has_pipe()) return translate_pipe(address.pipe(), join_path(path, "pipe"), use, diagnostics);
  if (!address.has_socket_address()) {
    if (address.address_case() == core::Address::ADDRESS_NOT_SET) diagnostics.error(path, "needs a socket_address");
    return std::nullopt;  // the other kinds are refused by the field table
  }
  const auto& socket = address.socket_address();
  const std::string socket_path = join_path(path, "socket_address");
  const auto refuse = [&](std::string_view field, std::string reason) {
    diagnostics.error(join_path(socket_path, field), std::move(reason));
    return std::nullopt;
  };
  if (socket.protocol() != core::SocketAddress::TCP) return refuse("protocol", "UDP is not supported: only TCP is");
  const auto ip = IpAddress::parse(socket.address());
  if (!ip) return refuse("address", "\"" + socket.address() + "\" is not an IP address; names are not resolved here");
  if (socket.port_value() > 65'535)
    return refuse("port_value", "must be at most 65535, is " + std::to_string(socket.port_value()));
  if (use == AddressUse::kAdmin) return SocketAddress{*ip, static_cast<std::uint16_t>(socket.port_value())};
  if (socket.port_value() == 0) return refuse("port_value", "must be set: there is no port 0 to be found here");
  if (ip->is_multicast() || ip->is_broadcast()) return refuse("address", socket.address() + " is not the address of one host");
  if (use == AddressUse::kEndpoint && ip->is_unspecified())
    return refuse("address", socket.address() + " names no host to connect to");
  return SocketAddress{*ip, static_cast<std::uint16_t>(socket.port_value())};
}

std::optional<IpPrefix> translate_prefix(const core::CidrRange& range, const std::string& path, Diagnostics& diagnostics) {
  const auto ip = IpAddress::parse(range.address_prefix());
  const unsigned length = range.prefix_len().value();
  if (!ip) {
    diagnostics.error(join_path(path, "address_prefix"), "\"" + range.address_prefix() + "\" is not an IP address");
    return std::nullopt;
  }
  if (const unsigned most = ip->is_v4() ? 32 : 128; length > most) {
    diagnostics.error(join_path(path, "prefix_len"),
                      "must be at most " + std::to_string(most) + ", is " + std::to_string(length));
    return std::nullopt;
  }
  return IpPrefix{*ip, static_cast<std::uint8_t>(length)};
}

std::optional<std::string> read_data_source(const core::DataSource& source, const std::string& path, Diagnostics& diagnostics) {
  switch (source.specifier_case()) {
    case core::DataSource::kInlineString: return source.inline_string();
    case core::DataSource::kInlineBytes: return source.inline_bytes();
    case core::DataSource::kEnvironmentVariable: {
      const char* value = std::getenv(source.environment_variable().c_str());
      if (value != nullptr) return std::string(value);
      diagnostics.error(join_path(path, "environment_variable"),
                        "the environment has no variable \"" + source.environment_variable() + "\"");
      return std::nullopt;
    }
    case core::DataSource::kFilename: {
      std::ifstream in(source.filename(), std::ios::binary);
      std::string text(kMaxDataSourceBytes + 1, '\0');
      if (in) in.read(text.data(), static_cast<std::streamsize>(text.size()));
      if (!in.is_open() || in.bad()) {
        diagnostics.error(join_path(path, "filename"), "the file \"" + source.filename() + "\" cannot be read");
        return std::nullopt;
      }
      text.resize(static_cast<std::size_t>(in.gcount()));
      if (text.size() > kMaxDataSourceBytes) {
        diagnostics.error(join_path(path, "filename"), "the file \"" + source.filename() + "\" is larger than 1 MiB");
        return std::nullopt;
      }
      return text;
    }
    case core::DataSource::SPECIFIER_NOT_SET: return std::nullopt;
  }
  return std::nullopt;
}

config::Format translate_format(std::string_view text, const std::string& path, Diagnostics& diagnostics) {
  auto format = config::compile_format(text);
  if (format) return std::move(*format);
  diagnostics.error(path, std::move(format.error()));
  return {};
}

namespace {

config::HeaderMutation::Action translate_append(const core::HeaderValueOption& option, const std::string& path,
                                                Diagnostics& diagnostics) {
  using Action = config::HeaderMutation::Action;
  if (option.has_append()) {
    if (option.append_action() != core::HeaderValueOption::APPEND_IF_EXISTS_OR_ADD) {
      diagnostics.error(join_path(path, "append"), "cannot be set together with append_action: use append_action alone");
    }
    return option.append().value() ? Action::kAppendIfExistsOrAdd : Action::kOverwriteIfExistsOrAdd;
  }
  switch (option.append_action()) {
    case core::HeaderValueOption::ADD_IF_ABSENT: return Action::kAddIfAbsent;
    case core::HeaderValueOption::OVERWRITE_IF_EXISTS_OR_ADD: return Action::kOverwriteIfExistsOrAdd;
    case core::HeaderValueOption::OVERWRITE_IF_EXISTS: return Action::kOverwriteIfExists;
    default: return Action::kAppendIfExistsOrAdd;
  }
}

// A token of RFC 9110 5.6.2, in lower case.
bool is_field_name(const std::string& name) {
  static constexpr std::string_view kSigns = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || kSigns.find(c) != std::string_view::npos;
  });
}

bool is_fixed_field(const std::string& name) { return name.starts_with(':') || name == "host"; }

}  // namespace

config::HeaderMutation translate_header_option(const envoy::config::core::v3::HeaderValueOption& option, const std::string& path,
                                               Diagnostics& diagnostics) {
  const std::string header_path = join_path(path, "header");
  config::HeaderMutation mutation;
  mutation.name = lower(option.header().key());
  if (!is_field_name(mutation.name) && !is_fixed_field(mutation.name)) {
    diagnostics.error(join_path(header_path, "key"),
                      "\"" + option.header().key() + "\" is not a header name: letters, digits and !#$%&'*+-.^_`|~ only");
  } else if (is_fixed_field(mutation.name)) {
    diagnostics.error(
        join_path(header_path, "key"),
        "\"" + mutation.name + "\" cannot be changed here; for the host use host_rewrite_literal, for the path prefix_rewrite");
  }
  if (!option.header().value().empty() && !option.header().raw_value().empty()) {
    diagnostics.error(join_path(header_path, "raw_value"), "cannot be set together with \"value\": choose one");
  }
  const bool raw = option.header().value().empty();
  mutation.value = translate_format(raw ? option.header().raw_value() : option.header().value(),
                                    join_path(header_path, raw ? "raw_value" : "value"), diagnostics);
  mutation.action = translate_append(option, path, diagnostics);
  mutation.keep_empty_value = option.keep_empty_value();
  return mutation;
}

std::vector<config::HeaderMutation> translate_header_options(const HeaderOptions& options, const std::string& path,
                                                             Diagnostics& diagnostics) {
  std::vector<config::HeaderMutation> mutations;
  for (int i = 0; i < options.size(); ++i)
    mutations.push_back(translate_header_option(options[i], index_path(path, static_cast<std::size_t>(i)), diagnostics));
  return mutations;
}

std::string translate_header_removal(const std::string& name, const std::string& path, Diagnostics& diagnostics) {
  std::string removal = lower(name);
  if (is_fixed_field(removal)) diagnostics.error(path, "\"" + removal + "\" cannot be removed: no request can do without it");
  return removal;
}

std::vector<std::string> translate_header_removals(const HeaderNames& names, const std::string& path, Diagnostics& diagnostics) {
  std::vector<std::string> removals;
  for (int i = 0; i < names.size(); ++i)
    removals.push_back(translate_header_removal(names[i], index_path(path, static_cast<std::size_t>(i)), diagnostics));
  return removals;
}

config::Fraction runtime_fraction(const std::string& key, config::Fraction otherwise, TranslateContext& context) {
  if (key.empty() || context.runtime == nullptr) return otherwise;
  context.runtime_keys.insert(key);
  return context.runtime->fraction(key, otherwise);
}

std::uint64_t runtime_number(const std::string& key, std::uint64_t otherwise, TranslateContext& context) {
  if (key.empty() || context.runtime == nullptr) return otherwise;
  context.runtime_keys.insert(key);
  return context.runtime->whole_number(key).value_or(otherwise);
}

config::Fraction translate_fraction(const envoy::config::core::v3::RuntimeFractionalPercent& fraction,
                                    TranslateContext& context) {
  return runtime_fraction(fraction.runtime_key(), translate_fraction(fraction.default_value()), context);
}

bool translate_flag(const envoy::config::core::v3::RuntimeFeatureFlag& flag, TranslateContext& context) {
  // Without a default it is on, as in Envoy.
  const bool otherwise = !flag.has_default_value() || flag.default_value().value();
  if (flag.runtime_key().empty() || context.runtime == nullptr) return otherwise;
  context.runtime_keys.insert(flag.runtime_key());
  return context.runtime->flag(flag.runtime_key(), otherwise);
}

}  // namespace millrace::agent
