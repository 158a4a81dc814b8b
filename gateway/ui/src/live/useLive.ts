import { useEffect, useRef, useState } from "react";

const retryAfter = 5_000;

/**
 * useLive listens to a path's events while the page is visible, and tells whether it does. The browser comes back by itself
 * after a broken connection, and is told what it missed; after a refusal it is tried again a little later.
 */
export function useLive(path: string, heard: (data: string) => void): boolean {
  const [live, setLive] = useState(false);
  const latest = useRef(heard);
  useEffect(() => {
    latest.current = heard;
  });

  useEffect(() => {
    let source: EventSource | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;

    const close = () => {
      clearTimeout(timer);
      source?.close();
      source = undefined;
      setLive(false);
    };
    const later = () => {
      close();
      timer = setTimeout(open, retryAfter * (1 + Math.random()));
    };
    const open = () => {
      close();
      if (document.hidden) return;
      const opened = new EventSource(path);
      source = opened;
      opened.onopen = () => setLive(true);
      opened.onmessage = (event) => latest.current(event.data);
      opened.addEventListener("end", later);
      opened.onerror = () => {
        setLive(false);
        if (opened.readyState === EventSource.CLOSED) later();
      };
    };

    document.addEventListener("visibilitychange", open);
    window.addEventListener("online", open);
    open();
    return () => {
      document.removeEventListener("visibilitychange", open);
      window.removeEventListener("online", open);
      close();
    };
  }, [path]);
  return live;
}
