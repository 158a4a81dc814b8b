import { useEffect, useState } from "react";

const absolute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

const steps: readonly [unit: Intl.RelativeTimeFormatUnit, seconds: number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** Ago is a time relative to now ("5 minutes ago"), kept current; the exact time shows on hover. */
export function Ago({ time }: { time: Date }) {
  const now = useNow(15_000);
  const seconds = Math.min(0, (time.getTime() - now) / 1000);
  const step = steps.find(([, size]) => -seconds >= size);
  const text = step ? relative.format(Math.round(seconds / step[1]), step[0]) : "just now";
  return (
    <time dateTime={time.toISOString()} title={absolute.format(time)}>
      {text}
    </time>
  );
}

/** Clock is the time of day; the exact time shows on hover. */
export function Clock({ time }: { time: Date }) {
  return (
    <time dateTime={time.toISOString()} title={absolute.format(time)}>
      {clock.format(time)}
    </time>
  );
}

const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const withYear = new Intl.DateTimeFormat(undefined, { dateStyle: "long" });

/** dayInWords names the day of a time for a heading: "Today", "Yesterday", "Monday, 3 August". */
export function dayInWords(time: Date, now = new Date()): string {
  const yesterday = new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1);
  if (time.toDateString() === now.toDateString()) return "Today";
  if (time.toDateString() === yesterday.toDateString()) return "Yesterday";
  return (time.getFullYear() === now.getFullYear() ? weekday : withYear).format(time);
}

function useNow(every: number): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}
