# The policy engine for other programs: `cmake --install build/release --component engine --prefix P`
# puts libraries, headers and the package `countersign` there; examples/engine uses it.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(engine_libraries base base_crypto spiffe_id authz_model authz_language authz_yaml authz_kinds authz)
set(engine_headers
  authz/engine/authorizer.h authz/engine/canonical.h authz/engine/compiled_policy.h authz/engine/explain.h
  authz/engine/limits.h authz/engine/matcher_plan.h
  authz/kinds/loader.h authz/kinds/registration.h authz/kinds/route.h authz/kinds/service.h
  authz/model/canonical_limits.h authz/model/decision.h authz/model/field.h authz/model/path_relaxations.h
  authz/model/policy.h authz/model/request.h
  base/clock.h base/status.h
  identity/local_caller.h identity/spiffe_id.h identity/verified_peer.h)

foreach(library ${engine_libraries})
  set_target_properties(countersign_${library} PROPERTIES EXPORT_NAME ${library})
  install(TARGETS countersign_${library} EXPORT countersign
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT engine)
endforeach()
foreach(header ${engine_headers})
  cmake_path(GET header PARENT_PATH folder)
  install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/countersign/${folder} COMPONENT engine)
endforeach()
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/countersign)
write_basic_package_version_file(countersign-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES cmake/countersign-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/countersign-config-version.cmake
  DESTINATION ${package} COMPONENT engine)
install(EXPORT countersign NAMESPACE countersign:: FILE countersign-targets.cmake
  DESTINATION ${package} COMPONENT engine)

# What hosts run: `cmake --install build/release --component programs --prefix /usr`.
install(TARGETS countersign countersign-server countersign-agent countersign-proxy
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT programs)
install(DIRECTORY deploy/systemd/ DESTINATION lib/systemd/system COMPONENT programs FILES_MATCHING PATTERN "*.service")
