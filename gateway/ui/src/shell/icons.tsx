import type { ReactNode } from "react";

// Drawn on a 24 by 24 grid in one stroke width. They accompany words and are therefore hidden from screen readers.
function icon(shape: ReactNode) {
  return function Icon({ className = "icon" }: { className?: string }) {
    return (
      <svg className={className} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
        {shape}
      </svg>
    );
  };
}

const shield = "M12 3 4.5 5.8v5.7c0 4.6 3 8 7.5 9.5 4.5-1.5 7.5-4.9 7.5-9.5V5.8z";

export const ShieldIcon = icon(<path d={shield} />);
export const ShieldCheckIcon = icon(<path d={`${shield}M8.7 12l2.3 2.3 4.3-4.6`} />);
export const ShieldOffIcon = icon(
  <path d="M7 4.9 12 3l7.5 2.8v5.7c0 1.5-.3 2.8-.9 4M16.7 17.9A12 12 0 0 1 12 21c-4.5-1.5-7.5-4.9-7.5-9.5V6.8M3.5 3.5l17 17" />,
);
export const SirenIcon = icon(
  <path d="M7 17v-5a5 5 0 0 1 10 0v5M5 20.5v-1.8c0-.9.7-1.7 1.7-1.7h10.6c1 0 1.7.8 1.7 1.7v1.8zM12 3V1.8M4.6 5.6l-.9-.9M19.4 5.6l.9-.9M3.2 11.5H2M22 11.5h-1.2" />,
);
export const AwayIcon = icon(<path d="M13 4.5H6.5v15H13M10.5 12h9.5M16.5 8.5 20 12l-3.5 3.5" />);
export const StayIcon = icon(<path d="m3.5 11.5 8.5-7.5 8.5 7.5M6 9.5V20h12V9.5M10 20v-5.5h4V20" />);
export const NightIcon = icon(<path d="M20 14.2A8.2 8.2 0 0 1 9.8 4a8.2 8.2 0 1 0 10.2 10.2z" />);
export const EyeIcon = icon(
  <>
    <path d="M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12z" />
    <circle cx="12" cy="12" r="2.8" />
  </>,
);
export const WarningIcon = icon(<path d="M12 4 2.8 19.5h18.4zM12 10v4.5M12 17v.1" />);
export const UserIcon = icon(
  <>
    <circle cx="12" cy="8" r="4" />
    <path d="M4.5 20.5c.8-3.7 3.8-5.5 7.5-5.5s6.7 1.8 7.5 5.5" />
  </>,
);
export const SignOutIcon = icon(<path d="M14 4.5H5.5v15H14M10 12h10.5M17 8.5l3.5 3.5-3.5 3.5" />);
export const BackIcon = icon(<path d="M19 12H5.5M11 6l-6 6 6 6" />);
export const MailIcon = icon(<path d="M3.5 6h17v12.5h-17zM4 6.5l8 6.5 8-6.5" />);
export const PlugIcon = icon(<path d="M9 3v5M15 3v5M6.5 8h11v3.5a5.5 5.5 0 0 1-11 0zM12 17v4" />);
export const PlusIcon = icon(<path d="M12 5v14M5 12h14" />);
export const MinusIcon = icon(<path d="M5 12h14" />);
export const LockIcon = icon(<path d="M6 10.5h12v10H6zM8.5 10.5V7.5a3.5 3.5 0 0 1 7 0v3M12 14.5v2" />);
export const HistoryIcon = icon(<path d="M4 12a8 8 0 1 0 2.5-5.8L4 8.5M4 4v4.5h4.5M12 8v4.3l3 1.8" />);
