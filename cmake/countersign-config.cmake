# find_package(countersign) defines countersign::authz, the policy engine, and countersign::authz_kinds,
# the loader of policy files.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
find_dependency(OpenSSL 3.0)
find_dependency(absl)
find_dependency(yaml-cpp)
find_dependency(spdlog)
find_dependency(nlohmann_json)
find_dependency(PkgConfig)
pkg_check_modules(RE2 REQUIRED IMPORTED_TARGET re2)
include(${CMAKE_CURRENT_LIST_DIR}/countersign-targets.cmake)
