// The loader's way: text to trees, trees to checked documents, documents to sets, sets to types.
#include "authz/kinds/loader.h"

#include <algorithm>
#include <deque>
#include <map>
#include <tuple>

#include "authz/kinds/builders.h"
#include "authz/kinds/document.h"
#include "authz/kinds/load_file.h"
#include "authz/kinds/nearest_word.h"

namespace countersign::authz {
namespace {

// SetGroup is one policy set while it is gathered.
struct SetGroup {
  CheckedDocument* head = nullptr;
  std::vector<CheckedDocument*> documents;
  bool broken = false;
};

bool BelongsToSet(const CheckedDocument& document) {
  return document.kind->name == "AccessPolicy" || document.kind->name == "IdentitySet" ||
         document.kind->name == "PolicyTest" || document.kind->name == "PolicyAssertion";
}

size_t KindOrder(const CheckedDocument& document) {
  return static_cast<size_t>(document.kind - AllKinds().data());
}

std::string_view FolderOf(std::string_view path) {
  size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? "" : path.substr(0, slash);
}

bool IsSetFile(std::string_view path) {
  size_t slash = path.rfind('/');
  std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  return name == "set.yaml" || name == "set.yml";
}

// Assembler sorts the documents of all files into sets and builds what is whole.
class Assembler {
 public:
  explicit Assembler(std::deque<LoadedFile>& files) : files_(files) {}

  LoadResult Run() {
    FindHeads();
    for (LoadedFile& file : files_) {
      SortFile(file);
    }
    RefuseDoubles();
    for (SetGroup& group : groups_) {
      BuildGroup(group);
    }
    BuildOthers();
    Finish();
    return std::move(result_);
  }

 private:
  void FindHeads() {
    for (LoadedFile& file : files_) {
      for (CheckedDocument& document : file.documents) {
        if (document.kind->name != "PolicySet") {
          continue;
        }
        groups_.push_back({&document, {}, document.broken});
        group_of_[&document] = &groups_.back();
        if (IsSetFile(file.path)) {
          auto [at, is_new] = folders_.emplace(FolderOf(file.path), &groups_.back());
          if (!is_new) {
            document.Error(document.where, "a set.yaml holds one PolicySet only");
          }
        }
      }
    }
  }

  // The set of set.yaml in the nearest folder above, or null.
  SetGroup* GroupOfFolder(std::string_view folder) {
    for (;;) {
      if (auto found = folders_.find(folder); found != folders_.end()) {
        return found->second;
      }
      if (folder.empty()) {
        return nullptr;
      }
      folder = FolderOf(folder);
    }
  }

  void SortFile(LoadedFile& file) {
    SetGroup* folder_group = GroupOfFolder(FolderOf(file.path));
    bool has_head = std::ranges::any_of(
        file.documents, [](const CheckedDocument& d) { return d.kind->name == "PolicySet"; });
    SetGroup* current = has_head ? nullptr : folder_group;
    if (file.broken && folder_group != nullptr) {
      folder_group->broken = true;
    }
    size_t heads = 0;
    for (CheckedDocument& document : file.documents) {
      if (document.kind->name == "PolicySet") {
        // Where there is only one, it need not stand first.
        current = ++heads == 1 ? group_of_[&document] : nullptr;
        group_of_[&document]->broken = group_of_[&document]->broken || file.broken;
      }
    }
    for (CheckedDocument& document : file.documents) {
      if (document.kind->name == "PolicySet") {
        current = group_of_[&document];
      } else if (BelongsToSet(document)) {
        AddToGroup(document, current);
      }
    }
  }

  static void AddToGroup(CheckedDocument& document, SetGroup* group) {
    if (group == nullptr) {
      document.Error(document.where,
                     Concat(document.kind->name, " ", Quoted(document.name),
                            " belongs to no policy set: give the set.yaml of its folder too"));
      return;
    }
    group->documents.push_back(&document);
  }

  // Two documents of one kind and name: of one set, or of the kinds that stand alone.
  void RefuseDoubles() {
    std::map<std::tuple<const SetGroup*, std::string_view, std::string_view>, CheckedDocument*>
        seen;
    auto see = [&seen](const SetGroup* group, CheckedDocument& document) {
      auto [at, is_new] = seen.try_emplace({group, document.kind->name, document.name}, &document);
      if (!is_new) {
        SourcePosition first = at->second->Position();
        document.Error(document.where, Concat("a second ", document.kind->name, " of the name ",
                                              Quoted(document.name), "; the first is at ",
                                              first.file, ":", first.line));
      }
      return is_new;
    };
    for (SetGroup& group : groups_) {
      if (!see(nullptr, *group.head)) {
        group_of_[seen[{nullptr, "PolicySet", group.head->name}]]->broken = true;
      }
      for (CheckedDocument* document : group.documents) {
        see(&group, *document);
      }
    }
    for (LoadedFile& file : files_) {
      for (CheckedDocument& document : file.documents) {
        if (document.kind->name != "PolicySet" && !BelongsToSet(document)) {
          see(nullptr, document);
        }
      }
    }
  }

  void BuildGroup(SetGroup& group) {
    std::ranges::sort(group.documents, {}, [](const CheckedDocument* document) {
      return std::tuple(KindOrder(*document), std::string_view(document->name));
    });
    auto set = std::make_shared<PolicySet>(BuildPolicySet(*group.head, group.documents));
    bool broken = group.broken || group.head->broken ||
                  std::ranges::any_of(group.documents, &CheckedDocument::broken);
    if (!broken) {
      result_.sets.push_back(std::move(set));
    }
  }

  template <class T, class Build>
  static void BuildOne(CheckedDocument& document, Build build, std::vector<T>& out) {
    T built = build(document);
    if (!document.broken) {
      out.push_back(std::move(built));
    }
  }

  void BuildOthers() {
    for (LoadedFile& file : files_) {
      for (CheckedDocument& document : file.documents) {
        if (document.kind->name == "Registration") {
          BuildOne(document, BuildRegistration, result_.registrations);
        } else if (document.kind->name == "Service") {
          BuildOne(document, BuildService, result_.services);
        } else if (document.kind->name == "Route") {
          BuildOne(document, BuildRoute, result_.routes);
        }
      }
    }
  }

  void Finish() {
    std::ranges::sort(result_.sets, {}, [](const auto& set) { return set->name; });
    std::ranges::sort(result_.registrations, {}, &Registration::name);
    std::ranges::sort(result_.services, {}, &Service::name);
    std::ranges::sort(result_.routes, {}, &Route::name);
    for (LoadedFile& file : files_) {
      std::ranges::move(file.context.reporter.diagnostics(),
                        std::back_inserter(result_.diagnostics));
    }
    std::ranges::stable_sort(result_.diagnostics, {}, [](const Diagnostic& d) {
      return std::tuple(d.where.file, d.where.line, d.where.column);
    });
    if (result_.diagnostics.size() > LoaderLimits::kDiagnosticsMax) {
      // An error stays an error: the ones cut off are behind the first of its kind.
      std::stable_partition(
          result_.diagnostics.begin(), result_.diagnostics.end(),
          [](const Diagnostic& d) { return d.severity == Diagnostic::Severity::kError; });
      result_.diagnostics.resize(LoaderLimits::kDiagnosticsMax);
      result_.diagnostics.push_back({Diagnostic::Severity::kWarning,
                                     {},
                                     Concat("more than ", LoaderLimits::kDiagnosticsMax,
                                            " findings: the rest is not shown")});
    }
  }

  std::deque<LoadedFile>& files_;
  std::deque<SetGroup> groups_;
  std::map<const CheckedDocument*, SetGroup*> group_of_;
  std::map<std::string_view, SetGroup*> folders_;
  LoadResult result_;
};

LoadResult LoadWith(std::span<const SourceFile> files, const yaml::YamlLimits& limits) {
  std::deque<LoadedFile> loaded;
  for (const SourceFile& file : files) {
    loaded.emplace_back(file.path);
    LoadFile(file.content, limits, loaded.back());
  }
  return Assembler(loaded).Run();
}

// Canonical documents are longer than what their author wrote: quotes, defaults.
constexpr yaml::YamlLimits kStoredLimits = {.bytes_max = 8 << 20,
                                            .depth_max = 32,
                                            .documents_max = 1,
                                            .nodes_max = 1'000'000,
                                            .indicators_max = 2'000'000,
                                            .scalar_bytes_max = 16384,
                                            .problems_max = 10};

StatusOr<LoadResult> LoadStored(std::span<const SourceFile> files) {
  LoadResult result = LoadWith(files, kStoredLimits);
  for (const Diagnostic& diagnostic : result.diagnostics) {
    if (diagnostic.severity == Diagnostic::Severity::kError) {
      return InvalidArgument(FormatDiagnostic(diagnostic));
    }
  }
  return result;
}

template <class T>
StatusOr<T> LoadOne(std::string_view document, std::vector<T> LoadResult::*list,
                    std::string_view kind) {
  std::vector<SourceFile> files = {{Concat("stored ", kind), std::string(document)}};
  ASSIGN_OR_RETURN(LoadResult result, LoadStored(files));
  if ((result.*list).size() != 1) {
    return InvalidArgument("the stored document is no ", kind);
  }
  return std::move((result.*list).front());
}

}  // namespace

bool LoadResult::ok() const {
  return std::ranges::none_of(diagnostics, [](const Diagnostic& diagnostic) {
    return diagnostic.severity == Diagnostic::Severity::kError;
  });
}

std::string FormatDiagnostic(const Diagnostic& diagnostic) {
  const SourcePosition& where = diagnostic.where;
  std::string out = where.file;
  if (where.line > 0) {
    out += Concat(":", where.line, ":", where.column);
  }
  return Concat(out, out.empty() ? "" : ": ",
                diagnostic.severity == Diagnostic::Severity::kWarning ? "warning: " : "",
                diagnostic.message);
}

LoadResult Load(std::span<const SourceFile> files) { return LoadWith(files, {}); }

StatusOr<std::shared_ptr<const PolicySet>> LoadPolicySet(std::span<const std::string> documents,
                                                         std::string_view whole_digest) {
  std::vector<SourceFile> files;
  for (const std::string& document : documents) {
    // Only the first is read as set.yaml; a PolicySet elsewhere is an error below.
    files.push_back(
        {files.empty() ? "stored/set.yaml" : Concat("stored/", files.size(), ".json"), document});
  }
  ASSIGN_OR_RETURN(LoadResult result, LoadStored(files));
  bool alone = result.registrations.empty() && result.services.empty() && result.routes.empty();
  if (result.sets.size() != 1 || !alone) {
    return InvalidArgument("the stored documents are not one policy set");
  }
  if (whole_digest.empty()) {
    return std::move(result.sets.front());
  }
  auto set = std::make_shared<PolicySet>(*result.sets.front());
  set->digest = std::string(whole_digest);
  return std::shared_ptr<const PolicySet>(std::move(set));
}

StatusOr<Registration> LoadRegistration(std::string_view document) {
  return LoadOne(document, &LoadResult::registrations, "Registration");
}
StatusOr<Service> LoadService(std::string_view document) {
  return LoadOne(document, &LoadResult::services, "Service");
}
StatusOr<Route> LoadRoute(std::string_view document) {
  return LoadOne(document, &LoadResult::routes, "Route");
}

}  // namespace countersign::authz
