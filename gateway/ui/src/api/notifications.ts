import type { DeliveryStateJson, ListNotificationsResponseJson } from "@gen/notification/v1/notification_pb";
import { request } from "./request";
import type { Page } from "./systems";

/** Notification is one message to this person. */
export interface Notification {
  id: string;
  subject: string;
  state: DeliveryStateJson;
  created: Date;
  /** When the mail server took it. */
  sent: Date | undefined;
}

export async function listNotifications(pageToken: string, signal?: AbortSignal): Promise<Page<Notification>> {
  const query = new URLSearchParams({ pageSize: "30", ...(pageToken && { pageToken }) });
  const path = `/api/v1/notifications?${query}`;
  const answer = await request<ListNotificationsResponseJson>("GET", path, undefined, signal);
  const items = (answer.notifications ?? []).map((json) => ({
    id: json.id ?? "",
    subject: json.subject ?? "",
    state: json.state ?? "DELIVERY_STATE_UNSPECIFIED",
    created: new Date(json.createTime ?? 0),
    sent: json.sentTime ? new Date(json.sentTime) : undefined,
  }));
  return { items, next: answer.nextPageToken ?? "" };
}
