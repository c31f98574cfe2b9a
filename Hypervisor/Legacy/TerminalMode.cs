using System.Runtime.InteropServices;
using Paravane.VirtioQueues.Linux;

namespace Paravane.Hypervisor.Legacy;

/// <summary>Puts a terminal into raw mode, and back: when disposed, when the process ends by itself, and on the signals that end it.</summary>
/// <remarks>Any thread. Only SIGKILL and a crash of the process leave the terminal raw; <c>reset</c> helps then.</remarks>
internal sealed unsafe partial class TerminalMode : IDisposable
{
    /// <summary>Room for <c>struct termios</c> of any C library; glibc's has 60 bytes and begins with four u32 of flags.</summary>
    private const int OpaqueBytes = 256;

    private const int OutputFlags = 1;
    private const uint ProcessOutput = 1; // OPOST
    private const int Now = 0; // TCSANOW

    private readonly Lock _lock = new();
    private readonly int _fd;
    private readonly byte[] _original = new byte[OpaqueBytes];
    private readonly PosixSignalRegistration[] _signals;
    private bool _restored;

    private TerminalMode(int fd)
    {
        _fd = fd;
        fixed (byte* original = _original)
        {
            FileDescriptor.Check(GetAttributes(fd, original), "tcgetattr");
        }

        FileDescriptor.Check(MakeRaw(), "tcsetattr");
        AppDomain.CurrentDomain.ProcessExit += OnEnd;
        AppDomain.CurrentDomain.UnhandledException += OnEnd;

        // SIGINT, SIGTERM and SIGHUP ask the machine to stop, which ends in Dispose. SIGQUIT ends the process as it always does.
        _signals =
        [
            PosixSignalRegistration.Create(PosixSignal.SIGQUIT, OnFatal),
#pragma warning disable CA1416 // not on Windows, where this program does not run
            PosixSignalRegistration.Create(PosixSignal.SIGCONT, OnContinued),
#pragma warning restore CA1416
        ];
    }

    /// <summary>True when <paramref name="fd"/> is a terminal.</summary>
    public static bool IsTerminal(int fd)
    {
        byte* attributes = stackalloc byte[OpaqueBytes];
        return GetAttributes(fd, attributes) == 0;
    }

    /// <summary>Puts <paramref name="fd"/> into raw mode. The descriptor stays the caller's.</summary>
    /// <exception cref="LinuxException">It is no terminal.</exception>
    public static TerminalMode MakeRaw(int fd) => new(fd);

    /// <inheritdoc/>
    public void Dispose()
    {
        AppDomain.CurrentDomain.ProcessExit -= OnEnd;
        AppDomain.CurrentDomain.UnhandledException -= OnEnd;
        foreach (PosixSignalRegistration signal in _signals)
        {
            signal.Dispose();
        }

        Restore();
    }

    private int MakeRaw()
    {
        byte* attributes = stackalloc byte[OpaqueBytes];
        _original.CopyTo(new Span<byte>(attributes, OpaqueBytes));
        SetRaw(attributes);

        // Output is still processed: lines of our own on standard error begin at the left, and what a guest sends looks the same either way.
        ((uint*)attributes)[OutputFlags] |= ProcessOutput;
        return SetAttributes(_fd, Now, attributes);
    }

    private void Restore()
    {
        lock (_lock)
        {
            if (!_restored)
            {
                _restored = true;
                fixed (byte* original = _original)
                {
                    _ = SetAttributes(_fd, Now, original); // nothing can be done when the terminal is gone
                }
            }
        }
    }

    private void OnEnd(object? sender, EventArgs e) => Restore();

    private void OnFatal(PosixSignalContext signal) => Restore();

    /// <summary>Stopped and continued: the shell has set its own mode meanwhile.</summary>
    private void OnContinued(PosixSignalContext signal)
    {
        lock (_lock)
        {
            if (!_restored)
            {
                _ = MakeRaw();
            }
        }
    }

    [LibraryImport("libc", EntryPoint = "tcgetattr", SetLastError = true)]
    private static partial int GetAttributes(int fd, byte* attributes);

    [LibraryImport("libc", EntryPoint = "tcsetattr", SetLastError = true)]
    private static partial int SetAttributes(int fd, int when, byte* attributes);

    [LibraryImport("libc", EntryPoint = "cfmakeraw")]
    private static partial void SetRaw(byte* attributes);
}
