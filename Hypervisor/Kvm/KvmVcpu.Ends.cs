using System.Globalization;
using System.Text;
using Paravane.Hypervisor.Kvm.Abi;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Hypervisor.Kvm;

/// <content>Exits that end the run: each becomes one line, and the process goes on.</content>
internal sealed unsafe partial class KvmVcpu
{
    private const int MaxInstructionBytes = 15;

    /// <summary>RIP after a reset. On AMD, where the processor leaves the state of a shut-down guest undefined, kvm_amd resets the vCPU before it tells of the shutdown.</summary>
    private const ulong ResetVector = 0xFFF0;

    private void HandleEnd(KvmExitReason reason)
    {
        switch (reason)
        {
            case KvmExitReason.Shutdown:
                Stop(VmStopKind.TripleFault, "triple fault");
                break;
            case KvmExitReason.SystemEvent:
                HandleSystemEvent(_run->SystemEvent.Type);
                break;
            case KvmExitReason.FailEntry:
                Stop(VmStopKind.Fault, $"the processor refused the vCPU's state (reason 0x{_run->FailEntry.Reason:x}, host cpu {_run->FailEntry.Cpu})");
                break;
            case KvmExitReason.InternalError when _run->InternalError.SubError == 1:
                Stop(VmStopKind.Fault, "KVM cannot emulate an instruction");
                break;
            case KvmExitReason.InternalError:
                Stop(VmStopKind.Fault, $"KVM internal error {_run->InternalError.SubError}");
                break;
            default:
                Stop(VmStopKind.Fault, $"unexpected exit {reason}");
                break;
        }
    }

    private void HandleSystemEvent(uint type)
    {
        switch (type)
        {
            case 1:
                Stop(VmStopKind.PowerOff, "power off");
                break;
            case 2:
                Stop(VmStopKind.Reset, "reset");
                break;
            case 3:
                Stop(VmStopKind.Crash, "crash");
                break;
            default:
                Stop(VmStopKind.Fault, $"unexpected system event {type}");
                break;
        }
    }

    /// <summary>KVM_RUN failed with neither EINTR nor EAGAIN.</summary>
    private void StopForError(int errno)
    {
        string where = _run->ExitReason == KvmExitReason.MemoryFault && errno is Errno.EFAULT
            ? $" at guest address 0x{_run->MemoryFault.Address:x}"
            : "";
        Stop(VmStopKind.Fault, $"KVM_RUN: {Errno.NameOf(errno)} ({Errno.TextOf(errno)}){where}");
    }

    private void Stop(VmStopKind kind, string what)
    {
        var text = new StringBuilder($"vcpu{Id}: {what}");
        KvmRegs registers;
        bool isKnown = KvmNative.Ioctl(_file.Number, KvmIoctl.GetRegs, (nuint)(&registers)) == 0;
        if (isKnown && kind == VmStopKind.TripleFault && registers.Rip == ResetVector)
        {
            text.Append(" (where is not known: KVM has reset the vCPU)");
        }
        else if (isKnown)
        {
            text.Append(CultureInfo.InvariantCulture, $", rip 0x{registers.Rip:x}");
            AppendInstruction(text, registers.Rip);
            text.Append(CultureInfo.InvariantCulture, $", rsp 0x{registers.Rsp:x}, rflags 0x{registers.Rflags:x}");
        }

        _group.RequestStop(kind, text.ToString());
    }

    /// <summary>The bytes at RIP: as KVM tells them, else from guest memory where the vCPU's page tables lead.</summary>
    private void AppendInstruction(StringBuilder text, ulong rip)
    {
        Span<byte> bytes = stackalloc byte[MaxInstructionBytes];
        if (_run->ExitReason == KvmExitReason.InternalError && _run->InternalError is { SubError: 1, DataWords: >= 4 } error && (error.Flags & 1) != 0)
        {
            bytes = bytes[..Math.Min((int)error.InstructionLengthBytes, MaxInstructionBytes)];
            ((ReadOnlySpan<byte>)error.Instruction)[..bytes.Length].CopyTo(bytes);
        }
        else
        {
            var question = new KvmTranslation { Linear = rip };
            if (KvmNative.Ioctl(_file.Number, KvmIoctl.Translate, (nuint)(&question)) != 0 || question.Valid == 0
                || !_group.Ram.Table.TryRead(new GuestAddress(question.Physical), bytes))
            {
                return;
            }
        }

        text.Append(", instruction");
        foreach (byte value in bytes)
        {
            text.Append(CultureInfo.InvariantCulture, $" {value:x2}");
        }
    }
}
