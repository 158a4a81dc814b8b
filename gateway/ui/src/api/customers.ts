import type { ListCustomersResponseJson } from "@gen/customer/v1/customer_pb";
import { request } from "./request";

/** customerNames maps the ids of the customers this person may see to their names. */
export async function customerNames(signal?: AbortSignal): Promise<ReadonlyMap<string, string>> {
  const answer = await request<ListCustomersResponseJson>("GET", "/api/v1/customers?pageSize=200", undefined, signal);
  return new Map((answer.customers ?? []).map((each) => [each.id ?? "", each.name ?? ""]));
}
