package securitysystem

// ListQuery is what the tests ask the planner about.
var ListQuery = listQuery
