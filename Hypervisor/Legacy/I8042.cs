using Paravane.Hypervisor.Kvm;

namespace Paravane.Hypervisor.Legacy;

/// <summary>
/// What is left of the keyboard controller: the line that restarts the machine. Also answers port 0x61, which lies between its two ports, for a guest that
/// waits there for a timer where KVM's own is not used.
/// </summary>
/// <remarks>vCPU threads.</remarks>
/// <param name="requested">Called on the vCPU thread: must return at once.</param>
internal sealed class I8042(Action<PowerRequest> requested) : IBusDevice
{
    /// <summary>First port.</summary>
    public const ushort FirstPort = 0x60;

    /// <summary>Ports 0x60 (data) to 0x64 (command and status).</summary>
    public const int PortCount = 5;

    private const ulong DataPort = 0, TimerPort = 1, CommandPort = 4;
    private const byte WriteOutputPort = 0xD1, ResetLine = 1;

    /// <summary>Port 0x61: output of timer 2 is high, so that nobody waits.</summary>
    private const byte TimerHigh = 0x20;

    private volatile bool _outputPortFollows;

    /// <inheritdoc/>
    public void Read(ulong offset, Span<byte> data)
    {
        for (int i = 0; i < data.Length; i++)
        {
            // Status 0: nothing to read, ready for a command.
            data[i] = (offset + (ulong)i) switch
            {
                DataPort or CommandPort => 0,
                TimerPort => TimerHigh,
                _ => byte.MaxValue,
            };
        }
    }

    /// <inheritdoc/>
    public void Write(ulong offset, ReadOnlySpan<byte> data)
    {
        for (int i = 0; i < data.Length; i++)
        {
            ulong at = offset + (ulong)i;
            if (at == CommandPort)
            {
                // 0xF0 to 0xFF pulse the lines whose bit is 0; line 0 restarts. 0xFE is the usual one.
                _outputPortFollows = data[i] == WriteOutputPort;
                RequestIf((data[i] & (0xF0 | ResetLine)) == 0xF0);
            }
            else if (at == DataPort)
            {
                bool output = _outputPortFollows;
                _outputPortFollows = false;
                RequestIf(output && (data[i] & ResetLine) == 0);
            }
        }
    }

    private void RequestIf(bool reset)
    {
        if (reset)
        {
            requested(PowerRequest.Reset);
        }
    }
}
