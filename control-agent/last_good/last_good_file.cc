#include "control-agent/last_good/last_good_file.h"

#include <fcntl.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/delimited_message_util.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "control-agent/xds/xds_message.h"
#include "dataplane/base/hex.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "tls/digest.h"

namespace millrace::agent {

namespace discovery = envoy::service::discovery::v3;

namespace {

constexpr std::string_view kMagic = "millrace-last-good 1 ";
constexpr std::size_t kHeaderBytes = 256;  // no more is looked at in search of the first line's end

discovery::DeltaDiscoveryResponse to_response(const KindKey& key, const LastGood::Kind& kind) {
  discovery::DeltaDiscoveryResponse out;
  out.set_type_url(std::string(type_url(key.type)));
  out.mutable_control_plane()->set_identifier(key.source);
  for (const auto& [name, saved] : kind) {
    auto& resource = *out.add_resources();
    resource.set_name(name);
    resource.set_version(saved.version);
    *resource.mutable_resource() = saved.body;
  }
  return out;
}

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

std::string failure(const std::string& path, std::string_view what) {
  return path + ": " + std::string(what) + ": " + std::strerror(errno);
}

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags) : number_(open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  [[nodiscard]] int number() const { return number_; }
  [[nodiscard]] bool is_open() const { return number_ >= 0; }
  [[nodiscard]] bool write_all(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t done = write(number_, bytes.data(), bytes.size());
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(done));
    }
    return true;
  }

 private:
  int number_;
};

}  // namespace

std::string encode_last_good(const LastGood& last_good) {
  std::string body;
  {
    google::protobuf::io::StringOutputStream out(&body);
    envoy::config::core::v3::Node node;
    node.set_id(last_good.node_id);
    node.set_cluster(last_good.node_cluster);
    google::protobuf::util::SerializeDelimitedToZeroCopyStream(node, &out);
    for (const auto& [key, kind] : last_good.kinds)
      google::protobuf::util::SerializeDelimitedToZeroCopyStream(to_response(key, kind), &out);
  }
  return std::string(kMagic) + to_hex(tls::sha256(body)) + " " + std::to_string(body.size()) + "\n" + body;
}

Result<LastGood, std::string> decode_last_good(std::string_view bytes) {
  const auto bad = [](std::string why) { return Error<std::string>(std::move(why)); };
  if (!bytes.starts_with(kMagic)) return bad("it is no snapshot that this version can read");
  const std::size_t end = bytes.substr(0, kHeaderBytes).find('\n');
  if (end == std::string_view::npos) return bad("its first line has no end");
  const std::string_view header = bytes.substr(kMagic.size(), end - kMagic.size());
  const std::string_view body = bytes.substr(end + 1);
  const std::size_t space = header.find(' ');
  std::size_t length = 0;
  const std::string_view digits = space == std::string_view::npos ? "" : header.substr(space + 1);
  if (std::from_chars(digits.data(), digits.data() + digits.size(), length).ec != std::errc{} || length != body.size())
    return bad((body.size() < length ? "it is cut short: it holds " : "it does not end where it should: it holds ") +
               std::to_string(body.size()) + " bytes, and should hold " + std::string(digits));
  if (header.substr(0, space) != to_hex(tls::sha256(body))) return bad("its checksum is wrong: it was changed or damaged");

  LastGood out;
  google::protobuf::io::ArrayInputStream raw(body.data(), static_cast<int>(body.size()));
  google::protobuf::io::CodedInputStream in(&raw);
  in.SetTotalBytesLimit(static_cast<int>(kMaxLastGoodBytes));
  envoy::config::core::v3::Node node;
  bool is_end = false;
  bool good = google::protobuf::util::ParseDelimitedFromCodedStream(&node, &in, &is_end);
  out.node_id = node.id();
  out.node_cluster = node.cluster();
  while (good) {
    discovery::DeltaDiscoveryResponse response;
    if (!google::protobuf::util::ParseDelimitedFromCodedStream(&response, &in, &is_end)) {
      good = is_end;
      break;
    }
    const auto type = resource_type(response.type_url());
    if (!type) continue;  // of a later version
    LastGood::Kind& kind = out.kinds[{*type, response.control_plane().identifier()}];
    for (discovery::Resource& resource : *response.mutable_resources()) {
      kind[resource.name()] = {.version = std::move(*resource.mutable_version()),
                               .body = std::move(*resource.mutable_resource())};
    }
  }
  if (!good) return bad("what it holds cannot be read");
  return out;
}

Result<LastGood, std::string> read_last_good(const std::string& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error == std::errc::no_such_file_or_directory) return LastGood();
  if (error) return Error<std::string>(path + ": cannot be read: " + error.message());
  if (size > kMaxLastGoodBytes)
    return Error<std::string>(path + ": is larger than " + std::to_string(kMaxLastGoodBytes) + " bytes");
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (!file.good() && !file.eof()) return Error<std::string>(failure(path, "cannot be read"));
  auto decoded = decode_last_good(bytes);
  if (!decoded) return Error<std::string>(path + ": " + decoded.error());
  return std::move(*decoded);
}

Result<void, std::string> write_last_good(const std::string& path, std::string_view bytes) {
  const std::string fresh = path + ".new";
  {
    unlink(fresh.c_str());  // of a write that did not come to its end
    const Descriptor file(fresh, O_WRONLY | O_CREAT | O_EXCL);
    if (!file.is_open()) return Error<std::string>(failure(fresh, "cannot be made"));
    if (!file.write_all(bytes) || fsync(file.number()) != 0) {
      auto error = failure(fresh, "cannot be written");
      unlink(fresh.c_str());
      return Error<std::string>(std::move(error));
    }
  }
  if (rename(fresh.c_str(), path.c_str()) != 0) return Error<std::string>(failure(path, "cannot be replaced"));
  const Descriptor folder(folder_of(path), O_RDONLY | O_DIRECTORY);
  if (!folder.is_open() || fsync(folder.number()) != 0)
    return Error<std::string>(failure(folder_of(path), "cannot be synchronised"));
  return {};
}

Result<void, std::string> check_last_good_folder(const std::string& path, bool with_private_data) {
  const std::string folder = folder_of(path);
  struct stat about{};
  if (stat(folder.c_str(), &about) != 0)
    return Error<std::string>("--snapshot: " + failure(folder, "is the folder, and cannot be used"));
  if (!S_ISDIR(about.st_mode)) return Error<std::string>("--snapshot: " + folder + ": is no folder");
  if (access(folder.c_str(), W_OK | X_OK) != 0)
    return Error<std::string>("--snapshot: " + failure(folder, "cannot be written to"));
  if (std::filesystem::is_directory(path)) return Error<std::string>("--snapshot: " + path + ": is a folder: name a file");
  if (with_private_data && (about.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    return Error<std::string>("--snapshot-secrets: " + folder +
                              ": others can read this folder, and private keys will be in it: chmod 700");
  return {};
}

}  // namespace millrace::agent
